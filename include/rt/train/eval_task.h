#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rt/data/tokenizer.h"
#include "rt/infer/scorer.h"

namespace rt {

// lambada          JSON lines with "text": is the last word, the one after the last blank, what greedy
//                  decoding writes (acc), and how likely is it (perplexity, of words)?
// multiple_choice  JSON lines, each of one of these forms, told by its fields:
//                    HellaSwag  activity_label, ctx_a, ctx_b, endings, label
//                    PIQA       goal, sol1, sol2, label
//                    ARC        question, choices {text, label}, answerKey; also as released, with question
//                               {stem, choices [{text, label}]}
//                    any other  query (or context), choices [...], gold (or label), counted from 0
//                  acc: the choice with the highest probability is the right one; acc_norm: by log
//                  probability per byte of the choice.
// wikitext         text with level-1 headings (" = Title = ") before each page, as WikiText is released, or
//                  JSON lines with "page": word_perplexity, byte_perplexity, bits_per_byte, counted in the
//                  words and bytes of the page as it is, after its tokenization marks are undone for the
//                  model.
// Prompts, what is counted and how texts are joined are those of lm-evaluation-harness, so that figures
// compare: a text and its continuation are tokenized together and split after as many tokens as the text has
// alone; nothing is put before a text that is not empty.
struct EvalTask {
  std::string name;
  std::filesystem::path path;
  std::int64_t limit = 0;       // the first so many examples; 0: all
  std::int64_t seq_len = 1024;  // wikitext: pages are cut into windows of so many predictions
  // Put before every text; without it 0, the end of text in RWKV's vocabulary, where a text is empty.
  std::optional<std::int32_t> prefix;
};

// In the order of config::TaskName.
inline constexpr const char* kTaskNames[] = {"lambada", "multiple_choice", "wikitext"};

// Throws what run_task() would at the file's first example.
void check_task_file(const EvalTask& task);

struct TaskResult {
  std::uint64_t examples = 0;
  std::vector<std::pair<std::string, double>> values;  // by name; X_stderr follows X where it is a mean
  double seconds = 0;
};

// Empty when `stop` became true. `progress` gets (requests done, requests); may be empty. Exit::Data with
// path:line for a line that is none of the forms; Exit::Config for an unknown task.
std::optional<TaskResult> run_task(Scorer& scorer, const data::Tokenizer& tokenizer, const EvalTask& task,
                                   const std::atomic<int>* stop = nullptr,
                                   const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

}  // namespace rt
