// Runs on data that is mixed, packed, masked and cut into growing lengths.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "rt/data/prepare.h"
#include "rt/train/run_loader.h"
#include "tests/train/run_test.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using testing::toy_config;

class DataRun : public testing::RunTest {
 protected:
  DataRun() : RunTest("rt-data-run") {}
  RunConfig config(const std::string& run, const std::vector<std::string>& overrides, int steps) {
    return RunConfig::parse(toy_config(temp_.path(), temp_.path() / run, steps), run, overrides);
  }
  // JSON lines: `n` texts of some length.
  std::string texts(const std::string& name, int n) {
    const fs::path path = temp_.path() / name;
    std::ofstream out(path);
    for (int i = 0; i < n; ++i) {
      out << R"({"text":")";
      for (int j = 0; j < 3 + i * i % 29; ++j) out << static_cast<char>('a' + (i * j + j / 7) % 26);
      out << "\"}\n";
    }
    return path.string();
  }
};

// 48 tokens a step: four steps of rows of 8, then rows of 16.
TEST_F(DataRun, MixedPackedAndGrowingResumesAroundTheChangeOfLength) {
  const std::vector<std::string> overrides = {
      "data.train=[{path: " + texts("a.jsonl", 20) +
          ", weight: 0.7, epochs_max: 3}, {path: " + texts("b.jsonl", 33) + ", weight: 0.3}]",
      "data.packing=pack", "data.seq_len=[{until: 192, value: 8}, {value: 16}]"};
  constexpr int kSteps = 7;
  const auto named = [&](const std::string& run) { return config(run, overrides, kSteps); };
  for (const double loss : expect_resumes(named, kSteps, {3, 4, 5})) EXPECT_TRUE(std::isfinite(loss));
  const RunConfig c = config("straight", overrides, kSteps);
  const Corpus corpus(c, temp_.path() / "straight" / "data", false);
  const data::Loader loader = run_loader(c, corpus, 1);
  EXPECT_EQ(loader.at(3, 0).T, 8);
  EXPECT_EQ(loader.at(3, 0).B, 2);
  EXPECT_EQ(loader.at(4, 0).T, 16);
}

TEST_F(DataRun, RefusesAChangedMixture) {
  const std::string a = texts("a.jsonl", 20), b = texts("b.jsonl", 33);
  const auto mixed = [&](const std::string& weight) {
    return config("mixed", {"data.train=[{path: " + a + "}, {path: " + b + ", weight: " + weight + "}]"}, 9);
  };
  run(mixed("0.5"), 3);
  EXPECT_NE(why_not(mixed("0.25"), Exit::Config).find("data.train.1.weight 0.5 -> 0.25 changes sample order"),
            std::string::npos);
  EXPECT_EQ(why_not(mixed("0.5"), Exit::Config), "");
  texts("b.jsonl", 34);
  EXPECT_NE(why_not(mixed("0.5"), Exit::Config).find("the training data or its order is not what"),
            std::string::npos);
}

TEST_F(DataRun, BudgetBeyondEpochsMaxIsRefusedBeforeTheStart) {
  const auto limited = [&](int steps) { return config("limited", {"data.train.0.epochs_max=2"}, steps); };
  EXPECT_NE(why_not(limited(13), Exit::Config).find("13 steps are more than data.train lasts"),
            std::string::npos);
  EXPECT_EQ(run(limited(12), 12).size(), 12u);
}

TEST_F(DataRun, EndsWithItsDataWhenTheBudgetIsTimeOnly) {
  Trainer trainer(
      config("all", {"data.train.0.epochs_max=2", "budget={wall: 5h}", "schedule={type: constant}"}, 1));
  EXPECT_EQ(trainer.fit(), Exit::Ok);
  EXPECT_EQ(trainer.progress().step, 12u);
}

TEST_F(DataRun, AMaskTrainsOnTheAnswers) {
  // Prompts that cannot be learned, an answer that is always the same.
  const fs::path chats = temp_.path() / "chats.jsonl";
  {
    std::ofstream out(chats);
    for (int i = 0; i < 200; ++i) {
      out << R"({"prompt":")";
      for (int j = 0; j < 9; ++j) out << static_cast<char>('a' + ((i * 7919 + j * 104729) >> (j % 5)) % 26);
      out << R"(","response":"yes"})"
          << "\n";
    }
  }
  data::PrepareOptions options;
  options.chat = data::ChatTemplate::Rwkv;
  data::prepare({chats}, temp_.path() / "chats", *data::make_byte_tokenizer(), options);
  const auto masked = [&](const std::string& name, const std::string& mask) {
    return config(name,
                  {"data.train=[{path: " + (temp_.path() / "chats").string() + "}]", "data.packing=pad",
                   "data.seq_len=48", "data.loss_mask=" + mask, "data.verify=full", "optimizer.lr=1e-2"},
                  30);
  };
  const double answers = run(masked("masked", "from_dataset"), 30).back(),
               all = run(masked("all", "none"), 30).back();
  EXPECT_LT(answers, 0.5);
  EXPECT_GT(all, 3 * answers);
  const std::string why = why_not(config("plain", {"data.loss_mask=from_dataset"}, 3), Exit::Data);
  EXPECT_NE(why.find("has no loss mask"), std::string::npos) << why;
}

}  // namespace
}  // namespace rt
