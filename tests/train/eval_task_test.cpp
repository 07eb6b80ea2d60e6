#include "rt/train/eval_task.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/infer/session.h"
#include "tests/support/model_harness.h"
#include "tests/support/toy_run.h"
#include "train/task_examples.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using testing::TempDir;

fs::path spew(const TempDir& dir, const std::string& name, const std::string& text) {
  std::ofstream(dir.path() / name, std::ios::binary) << text;
  return dir.path() / name;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

TEST(TaskExamples, EveryMultipleChoiceForm) {
  const TempDir dir("task-examples");
  const fs::path file = spew(
      dir, "choices.jsonl",
      R"({"activity_label":"Roof","ctx_a":"A man [step] stands.","ctx_b":"he THEN [title] Fall","endings":["jumps  off.","[substeps] waits.    Long."],"label":"1"})"
      "\n"
      R"({"goal":"To open a jar,","sol1":"twist it","sol2":"eat it","label":0})"
      "\n\n"
      R"({"id":"a","question":"Why?","choices":{"text":["x","yy"],"label":["A","B"]},"answerKey":"B"})"
      "\n"
      R"({"id":"b","question":{"stem":"How?","choices":[{"text":"no","label":"1"},{"text":"so","label":"2"}]},"answerKey":"1"})"
      "\n"
      R"({"query":"Two plus two is","choices":["four","five","six"],"gold":2})"
      "\n");
  const auto all = read_choices(file, 0);
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].context, "Roof: A man stands. He then. fall");
  EXPECT_EQ(all[0].continuations, (std::vector<std::string>{" jumps off.", "  waits.  Long."}));
  EXPECT_EQ(all[0].choice_bytes, (std::vector<std::size_t>{10, 14}));
  EXPECT_EQ(all[0].gold, 1u);
  EXPECT_EQ(all[1].context, "Question: To open a jar,\nAnswer:");
  EXPECT_EQ(all[1].continuations, (std::vector<std::string>{" twist it", " eat it"}));
  EXPECT_EQ(all[1].gold, 0u);
  EXPECT_EQ(all[2].context, "Question: Why?\nAnswer:");
  EXPECT_EQ(all[2].gold, 1u);
  EXPECT_EQ(all[3].context, "Question: How?\nAnswer:");
  EXPECT_EQ(all[3].continuations, (std::vector<std::string>{" no", " so"}));
  EXPECT_EQ(all[3].gold, 0u);
  EXPECT_EQ(all[4].context, "Two plus two is");
  EXPECT_EQ(all[4].gold, 2u);
  EXPECT_EQ(read_choices(file, 2).size(), 2u);
}

TEST(TaskExamples, BadLinesAreNamed) {
  const TempDir dir("task-bad");
  const auto choices = [&](const std::string& line) {
    const fs::path file = spew(dir, "c.jsonl",
                               R"({"query":"q","choices":["a"],"gold":0})"
                               "\n" +
                                   line + "\n");
    return error_of([&] { read_choices(file, 0); });
  };
  for (const char* line :
       {"{", "[]", "{}", R"({"query":"q","choices":[],"gold":0})",
        R"({"query":"q","choices":["a"],"gold":1})", R"({"query":"q","choices":["a"],"gold":"x"})",
        R"({"question":"q","choices":{"text":["a"],"label":["A"]},"answerKey":"B"})"}) {
    EXPECT_NE(choices(line).find("c.jsonl:2: "), std::string::npos) << choices(line);
    EXPECT_EQ(choices(line).find('\n'), std::string::npos);
  }
  const fs::path word = spew(dir, "l.jsonl", R"({"text":"word"})");
  EXPECT_NE(error_of([&] { read_lambada(word, 0); }).find("l.jsonl:1: a text of one word"),
            std::string::npos);
  EXPECT_NE(error_of([&] { read_lambada(spew(dir, "e.jsonl", "\n"), 0); }).find("empty"), std::string::npos);
  EXPECT_NE(error_of([&] { read_lambada("/no/such", 0); }).find("/no/such: cannot be read"),
            std::string::npos);
  EXPECT_NE(
      error_of([&] { read_pages(spew(dir, "p.jsonl", "{\"page\":\"x\"}\n{}\n"), 0); }).find("p.jsonl:2: "),
      std::string::npos);
  EXPECT_NE(error_of([&] { read_pages(spew(dir, "p.txt", " \n"), 0); }).find("empty"), std::string::npos);
}

TEST(TaskExamples, Lambada) {
  const TempDir dir("task-lambada");
  const auto all = read_lambada(spew(dir, "l.jsonl", R"({"text": "He said: \"no,\" and left the room"})"), 0);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].context, "He said: \"no,\" and left the");
  EXPECT_EQ(all[0].continuations, std::vector<std::string>{" room"});
}

TEST(TaskExamples, WikitextPages) {
  const TempDir dir("task-pages");
  const std::string first =
                        " = Robert B = \n \n It cost 3 @,@ 000 ( or so ) . \n = = Life = = \n \" Hm \" \n",
                    second = " = Other = \n x\n";
  const auto pages = read_pages(spew(dir, "wiki.txt", " \n" + first + second), 0);
  ASSERT_EQ(pages.size(), 2u);
  // White space at both ends of the page counts an empty word each.
  EXPECT_EQ(pages[0].words, 24u);
  EXPECT_EQ(pages[0].bytes, first.size());
  EXPECT_EQ(pages[0].text, " = Robert B =\n\nIt cost 3,000 (or so).\n== Life ==\n\"Hm\"\n");
  EXPECT_EQ(pages[1].text, " = Other =\nx\n");
  EXPECT_EQ(read_pages(spew(dir, "wiki.txt", first + second), 1).size(), 1u);
  const auto json = read_pages(spew(dir, "wiki.jsonl", "{\"page\": \" = A = \\n b\"}\n"), 0);
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0].text, " = A =\nb");
  EXPECT_EQ(json[0].words, 5u);
}

// The figures of a task from its scores, against the model asked token by token.
class EvalTaskTest : public ::testing::Test {
 protected:
  EvalTaskTest()
      : dir_("eval-task"),
        tokenizer_(data::make_byte_tokenizer()),
        model_(testing::tiny_spec(256), DType::F32, 1.0) {
    scorer_ = std::make_unique<Scorer>(model_.net, Impl::Cpu, DType::F32, 3);
    session_ = std::make_unique<Session>(model_.net, Impl::Cpu, DType::F32);
  }
  double log_prob(const std::string& context, const std::string& continuation) {
    session_->reset();
    double sum = 0;
    std::span<const float> logits = session_->feed(tokenizer_->encode(context));
    for (const std::int32_t id : tokenizer_->encode(continuation)) {
      double total = 0;
      for (const float l : logits)
        total += std::exp(double{l} - double{logits[static_cast<std::size_t>(id)]});
      sum -= std::log(total);
      logits = session_->feed({&id, 1});
    }
    return sum;
  }
  TaskResult run(EvalTask task) { return *run_task(*scorer_, *tokenizer_, task); }
  static double value(const TaskResult& r, const std::string& name) {
    for (const auto& [key, v] : r.values) {
      if (key == name) return v;
    }
    ADD_FAILURE() << name << " is missing";
    return NAN;
  }

  TempDir dir_;
  std::unique_ptr<data::Tokenizer> tokenizer_;
  testing::Model model_;
  std::unique_ptr<Scorer> scorer_;
  std::unique_ptr<Session> session_;
};

TEST_F(EvalTaskTest, Lambada) {
  const std::string texts[] = {"One two three", "Seven eight nine"};
  std::string lines;
  for (const std::string& t : texts) lines += "{\"text\":\"" + t + "\"}\n";
  const TaskResult r = run({"lambada", spew(dir_, "l.jsonl", lines), 0, 64, {}});
  EXPECT_EQ(r.examples, 2u);
  const double mean = (log_prob("One two", " three") + log_prob("Seven eight", " nine")) / 2;
  EXPECT_NEAR(value(r, "perplexity") / std::exp(-mean), 1, 1e-3);
  EXPECT_EQ(value(r, "acc"), 0);
  EXPECT_EQ(run({"lambada", dir_.path() / "l.jsonl", 1, 64, {}}).examples, 1u);
  // With a prefix the context is another.
  const TaskResult prefixed = run({"lambada", dir_.path() / "l.jsonl", 1, 64, 0});
  const std::string with(1, '\0');
  EXPECT_NEAR(value(prefixed, "perplexity") / std::exp(-log_prob(with + "One two", " three")), 1, 1e-3);
}

TEST_F(EvalTaskTest, LambadaCountsWhatIsLikeliest) {
  // A model that always finds a blank the likeliest byte: right for the text that ends in one.
  const auto fill = [&](const char* name, double v) {
    const TensorView to = model_.store.find(name)->master;
    for (std::int64_t i = 0; i < to.numel(); ++i) set_element(to, i, v);
  };
  fill("ln_out.weight", 0);
  fill("ln_out.bias", 1);
  fill("head.weight", 0);
  for (std::int64_t c = 0; c < 32; ++c)
    set_element(model_.store.find("head.weight")->master, ' ' * 32 + c, 0.1);
  const fs::path file = spew(dir_, "l.jsonl", "{\"text\":\"One two \"}\n{\"text\":\"Seven eight\"}\n");
  const TaskResult r = run({"lambada", file, 0, 64, {}});
  EXPECT_DOUBLE_EQ(value(r, "acc"), 0.5);
  EXPECT_DOUBLE_EQ(value(r, "acc_stderr"), 0.5);
}

TEST_F(EvalTaskTest, MultipleChoiceByProbabilityAndPerByte) {
  const std::vector<std::vector<std::string>> choices{{"a", "quite a long answer"},
                                                      {"xyz", "abc"},
                                                      {"12", "some words", "y"},
                                                      {"none", "all of them, I think"}};
  std::string lines;
  double acc = 0, acc_norm = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    std::size_t best = 0, best_norm = 0;
    const std::string query = "Question " + std::to_string(i) + ":";
    std::string list;
    const auto score = [&](std::size_t j) { return log_prob(query, " " + choices[i][j]); };
    const auto norm = [&](std::size_t j) { return score(j) / static_cast<double>(choices[i][j].size()); };
    for (std::size_t j = 0; j < choices[i].size(); ++j) {
      best = score(j) > score(best) ? j : best;
      best_norm = norm(j) > norm(best_norm) ? j : best_norm;
      list += (j > 0 ? ",\"" : "\"") + choices[i][j] + "\"";
    }
    // By one measure right where the other is wrong, if they differ; wrong by both once.
    const std::size_t gold = i == 1 ? 1 - best : best_norm;
    acc += best == gold;
    acc_norm += best_norm == gold;
    lines +=
        "{\"query\":\"" + query + "\",\"choices\":[" + list + "],\"gold\":" + std::to_string(gold) + "}\n";
  }
  const TaskResult r = run({"multiple_choice", spew(dir_, "c.jsonl", lines), 0, 64, {}});
  EXPECT_EQ(r.examples, 4u);
  EXPECT_DOUBLE_EQ(value(r, "acc"), acc / 4);
  EXPECT_DOUBLE_EQ(value(r, "acc_norm"), acc_norm / 4);
  EXPECT_LT(acc, acc_norm);  // the model has long answers that are likelier per byte only
  EXPECT_NEAR(value(r, "acc_stderr"), std::sqrt(acc / 4 * (1 - acc / 4) / 3), 1e-12);
}

TEST_F(EvalTaskTest, WikitextInWindows) {
  const std::string first = " = A = \n" + std::string(37, 'x') + " y\n", second = " = B = \n z";
  const fs::path file = spew(dir_, "w.txt", first + second);
  const std::string a = wikitext_detokenized(first), b = wikitext_detokenized(second), zero(1, '\0');
  // Windows of 20: every token once; the last window is 20 long and scores what is left.
  ASSERT_EQ(a.size(), 47u);
  double loss = -log_prob(zero, a.substr(0, 20));
  loss -= log_prob(a.substr(19, 1), a.substr(20, 20));
  loss -= log_prob(a.substr(26, 14), a.substr(40));
  loss -= log_prob(zero, b);
  const TaskResult r = run({"wikitext", file, 0, 20, {}});
  const double words = 6 + 6, bytes = double(first.size() + second.size());
  EXPECT_EQ(r.examples, 2u);
  EXPECT_NEAR(value(r, "bits_per_byte"), loss / bytes / std::log(2.0), 1e-4);
  EXPECT_NEAR(std::log(value(r, "word_perplexity")), loss / words, 1e-3);
  EXPECT_NEAR(std::log(value(r, "byte_perplexity")), loss / bytes, 1e-4);
}

TEST_F(EvalTaskTest, BlanksAtTheEndOfAContextAreTokenizedWithTheChoice) {
  const fs::path file = spew(dir_, "c.jsonl",
                             R"({"query":"It is \n","choices":["a","b"],"gold":0})"
                             "\n");
  const bool first = log_prob("It is", " \n a") > log_prob("It is", " \n b");
  EXPECT_EQ(value(run({"multiple_choice", file, 0, 64, {}}), "acc"), first ? 1 : 0);
  // An empty context is a 0, so that there is something to go on from.
  const fs::path empty = spew(dir_, "e.jsonl",
                              R"({"query":"","choices":["a","b"],"gold":0})"
                              "\n");
  const bool second = log_prob(std::string(1, '\0'), " a") > log_prob(std::string(1, '\0'), " b");
  EXPECT_EQ(value(run({"multiple_choice", empty, 0, 64, {}}), "acc"), second ? 1 : 0);
  EXPECT_NE(error_of([&] {
              run({"nonsense", file, 0, 64, {}});
            }).find("\"nonsense\" is not a task"),
            std::string::npos);
}

}  // namespace
}  // namespace rt
