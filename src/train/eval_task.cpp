#include "rt/train/eval_task.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "rt/core/error.h"
#include "train/task_examples.h"

namespace rt {
namespace {

using Ids = std::vector<std::int32_t>;

class TextRequests {
 public:
  TextRequests(const data::Tokenizer& tokenizer, const EvalTask& task) : tokenizer_(tokenizer), task_(task) {}

  ScoreRequest choices(const ChoiceExample& e) const {
    // A blank at the end of a context is tokenized with what it is joined to.
    std::string context = e.context, blanks;
    while (!context.empty() && std::string_view(" \n\t\r").find(context.back()) != std::string_view::npos) {
      blanks.insert(blanks.begin(), context.back());
      context.pop_back();
    }
    ScoreRequest r;
    r.context = begun(tokenizer_.encode(context));
    const std::size_t split = tokenizer_.encode(context).size();
    for (const std::string& continuation : e.continuations) {
      Ids whole = tokenizer_.encode(context + blanks + continuation);
      if (whole.size() > split) {
        whole.erase(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(split));
      } else {
        whole = tokenizer_.encode(blanks + continuation);  // merged into the context: taken by itself
      }
      if (whole.empty()) fail(Exit::Data, "{}: a choice is empty.", task_.path.string());
      r.continuations.push_back(std::move(whole));
    }
    return r;
  }

  // Windows of seq_len predictions, each after one token of context, but the last, which is as long as the
  // others and predicts what they left.
  void add_windows(const std::string& text, std::vector<ScoreRequest>& to) const {
    Ids ids = tokenizer_.encode(text);
    ids.insert(ids.begin(), task_.prefix.value_or(0));
    const std::size_t predictions = ids.size() - 1, window = static_cast<std::size_t>(task_.seq_len);
    for (std::size_t done = 0; done < predictions; done = std::min(done + window, predictions)) {
      const std::size_t end = std::min(done + window, predictions);  // ids [done + 1, end + 1) are predicted
      const std::size_t begin = done == 0 ? 0 : end - window;
      const auto at = [&](std::size_t i) { return ids.begin() + static_cast<std::ptrdiff_t>(i); };
      to.push_back({Ids(at(begin), at(done + 1)), {Ids(at(done + 1), at(end + 1))}});
    }
  }

 private:
  Ids begun(Ids ids) const {
    if (task_.prefix || ids.empty()) ids.insert(ids.begin(), task_.prefix.value_or(0));
    return ids;
  }
  const data::Tokenizer& tokenizer_;
  const EvalTask& task_;
};

// The mean of zeros and ones, and the standard error of it.
void add_share(TaskResult& result, const std::string& name, double hits) {
  const auto n = static_cast<double>(result.examples);
  const double p = hits / n;
  result.values.emplace_back(name, p);
  result.values.emplace_back(name + "_stderr", n > 1 ? std::sqrt(p * (1 - p) / (n - 1)) : 0.0);
}

using Scores = std::vector<std::vector<Score>>;

void lambada_values(const Scores& scores, TaskResult& result) {
  double hits = 0, log_prob = 0;
  for (const auto& s : scores) {
    hits += s.front().greedy;
    log_prob += s.front().log_prob;
  }
  add_share(result, "acc", hits);
  result.values.emplace_back("perplexity", std::exp(-log_prob / static_cast<double>(result.examples)));
}

void choice_values(const std::vector<ChoiceExample>& examples, const Scores& scores, TaskResult& result) {
  double hits = 0, hits_norm = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    std::size_t best = 0, best_norm = 0;
    const auto per_byte = [&](std::size_t j) {
      return scores[i][j].log_prob /
             static_cast<double>(std::max<std::size_t>(1, examples[i].choice_bytes[j]));
    };
    for (std::size_t j = 1; j < scores[i].size(); ++j) {
      if (scores[i][j].log_prob > scores[i][best].log_prob) best = j;
      if (per_byte(j) > per_byte(best_norm)) best_norm = j;
    }
    hits += best == examples[i].gold;
    hits_norm += best_norm == examples[i].gold;
  }
  add_share(result, "acc", hits);
  add_share(result, "acc_norm", hits_norm);
}

void page_values(const std::vector<PageExample>& pages, const Scores& scores, TaskResult& result) {
  double loss = 0, words = 0, bytes = 0;
  for (const auto& s : scores) loss -= s.front().log_prob;
  for (const PageExample& p : pages) {
    words += static_cast<double>(p.words);
    bytes += static_cast<double>(p.bytes);
  }
  result.values = {{"word_perplexity", std::exp(loss / words)},
                   {"byte_perplexity", std::exp(loss / bytes)},
                   {"bits_per_byte", loss / bytes / std::numbers::ln2}};
}

enum class Form : std::uint8_t { Lambada, Choices, Pages };

Form form_of(const std::string& name) {
  const auto found = std::find(std::begin(kTaskNames), std::end(kTaskNames), name) - std::begin(kTaskNames);
  if (found == std::ssize(kTaskNames)) {
    fail(Exit::Config, "\"{}\" is not a task. Use lambada, multiple_choice or wikitext.", name);
  }
  return static_cast<Form>(found);
}

}  // namespace

void check_task_file(const EvalTask& task) {
  switch (form_of(task.name)) {
    case Form::Lambada: read_lambada(task.path, 1); break;
    case Form::Choices: read_choices(task.path, 1); break;
    case Form::Pages: read_pages(task.path, 1); break;
  }
}

std::optional<TaskResult> run_task(Scorer& scorer, const data::Tokenizer& tokenizer, const EvalTask& task,
                                   const std::atomic<int>* stop,
                                   const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const auto begin = std::chrono::steady_clock::now();
  const Form form = form_of(task.name);
  RT_CHECK(task.seq_len > 0, "eval task: windows of {} tokens", task.seq_len);
  const TextRequests text(tokenizer, task);
  std::vector<ChoiceExample> examples;
  std::vector<PageExample> read;
  std::vector<ScoreRequest> requests;
  if (form == Form::Pages) {
    read = read_pages(task.path, task.limit);
    for (const PageExample& p : read) text.add_windows(p.text, requests);
  } else {
    examples =
        form == Form::Lambada ? read_lambada(task.path, task.limit) : read_choices(task.path, task.limit);
    for (const ChoiceExample& e : examples) requests.push_back(text.choices(e));
  }
  const auto scores = scorer.score(requests, form == Form::Lambada, stop, progress);
  if (!scores) return std::nullopt;
  TaskResult result;
  result.examples = form == Form::Pages ? read.size() : examples.size();
  if (form == Form::Lambada) lambada_values(*scores, result);
  if (form == Form::Choices) choice_values(examples, *scores, result);
  if (form == Form::Pages) page_values(read, *scores, result);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace rt
