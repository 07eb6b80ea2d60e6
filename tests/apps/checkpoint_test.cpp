// Which checkpoints are written and kept, as the user asks for it.
#include <gtest/gtest.h>

#include <map>

#include "tests/apps/apps_support.h"

namespace rt::apps_test {
namespace {

class CheckpointPolicy : public Program {
 protected:
  Words train(const std::string& name, const Words& settings) {
    Words words = {"rwkv-train", config(name)};
    for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
    return words;
  }
  std::vector<std::string> checkpoints(const std::string& name) const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(run_dir(name) / "checkpoints"))
      if (entry.path().filename().string().starts_with("step-") && !entry.path().has_extension())
        found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }
  static bool eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 3000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
};

// A learning rate that makes things worse after a while, so that the best is not the last.
TEST_F(CheckpointPolicy, TheBestAreKept) {
  const Outcome outcome =
      run(train("best", {"budget.steps=24", "eval.every=2steps", "optimizer.lr=0.2", "checkpoint.keep.last=1",
                         "checkpoint.keep.best={metric: valid/other/loss, n: 2}"}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  std::map<std::string, double> losses;
  std::ifstream in(run_dir("best") / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    if (!json.contains("event") || json["step"] == 0) continue;
    losses[checkpoint(json["step"].get<int>()).filename()] = json["loss"].get<double>();
  }
  ASSERT_GE(losses.size(), 12U);
  std::vector<std::pair<double, std::string>> ranking;
  for (const auto& [step, loss] : losses) ranking.emplace_back(loss, step);
  std::sort(ranking.begin(), ranking.end());
  std::vector<std::string> want = {ranking[0].second, ranking[1].second, "step-00000024"};
  std::sort(want.begin(), want.end());
  want.erase(std::unique(want.begin(), want.end()), want.end());
  EXPECT_EQ(checkpoints("best"), want);
  EXPECT_NE(want.front(), "step-00000024");

  const Outcome refused = run(train("none", {"checkpoint.keep.best={metric: valid/mine/loss}"}));
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.err.find("Known: valid/other/loss"), std::string::npos) << refused.err;
}

TEST_F(CheckpointPolicy, AFileAsksForOne) {
  const pid_t child = start(train("now", {"budget.steps=1000000", "checkpoint.every.time=1h"}));
  ASSERT_TRUE(wait_for("step 2/"));
  const fs::path file = run_dir("now") / "SAVE_NOW";
  for (std::size_t n = 1; n <= 2; ++n) {
    spew(file, "");
    EXPECT_TRUE(eventually([&] { return !fs::exists(file) && checkpoints("now").size() == n; })) << n;
  }
  kill(child, SIGTERM);
  EXPECT_EQ(wait(child).status, 75);
}

// Where nobody waits long enough for a save, the last checkpoint is kept, and the run goes on from it.
TEST_F(CheckpointPolicy, WhatWouldBeCutOffIsNotBegun) {
  const Words settings = {"budget.steps=400", "checkpoint.every.steps=1000", "checkpoint.grace=0s"};
  Words words = train("late", settings);
  const pid_t child = start(words);
  ASSERT_TRUE(wait_for("step 2/"));
  spew(run_dir("late") / "SAVE_NOW", "");
  ASSERT_TRUE(eventually([&] { return checkpoints("late").size() == 1; }));
  const std::vector<std::string> before = checkpoints("late");
  ASSERT_TRUE(eventually([&] { return !fs::exists(run_dir("late") / "SAVE_NOW"); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  kill(child, SIGTERM);
  const Outcome stopped = wait(child);
  EXPECT_EQ(stopped.status, 75);
  EXPECT_NE(
      (stopped.out + stopped.err).find(" s of checkpoint.grace are left: the run keeps " + before.front()),
      std::string::npos)
      << stopped.out << stopped.err;
  EXPECT_EQ(checkpoints("late"), before);
  ASSERT_EQ(run(words).status, 0);
  ASSERT_EQ(run(train("whole", settings)).status, 0);
  EXPECT_TRUE(slurp(checkpoint(400, "late") / "model.safetensors") ==
              slurp(checkpoint(400, "whole") / "model.safetensors"));
}

}  // namespace
}  // namespace rt::apps_test
