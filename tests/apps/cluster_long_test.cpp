// Several processes over as many steps as would show a difference that grows.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/apps/cluster_runs.h"

namespace rt::apps_test {
namespace {

class SlowCluster : public ClusterProgram {
 protected:
  static constexpr int kLong = 200;

  void expect_run(const std::string& name, int world, int zero, const Words& settings, bool deterministic) {
    Words all = {"budget.steps=200",
                 "eval.every=1000steps",
                 "model.layers=2",
                 "optimizer.lr=6e-4",
                 "parallel.zero=" + std::to_string(zero),
                 std::string("run.deterministic=") + (deterministic ? "true" : "false")};
    all.insert(all.end(), settings.begin(), settings.end());
    const Outcome outcome = run(train(name, world, all));
    ASSERT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  }
};

// World 2 and 4, with and without accumulation; with RT_CLUSTER_ALL every stage of ZeRO.
TEST_F(SlowCluster, TwoHundredStepsStayTogether) {
  double worst = 0;
  for (const Words& batch : {Words{"batch.global_tokens=512", "batch.micro_sequences=2"},
                             Words{"batch.global_tokens=256", "batch.micro_sequences=2"}}) {
    const std::string tag = batch.front().substr(20);
    expect_run("alone" + tag, 1, 1, batch, false);
    expect_run("exact" + tag, 1, 1, batch, true);
    const std::vector<double> want = losses("alone" + tag);
    ASSERT_EQ(want.size(), static_cast<std::size_t>(kLong));
    EXPECT_LT(want.back(), 0.75 * want.front());
    for (const int world : {2, 4}) {
      for (const int zero : {0, 1, 2, 3}) {
        if (!getenv("RT_CLUSTER_ALL") && zero != world - 1) continue;  // all take 200 s
        const std::string name = "w" + std::to_string(world) + "z" + std::to_string(zero) + "t" + tag;
        expect_run(name, world, zero, batch, false);
        const std::vector<double> found = losses(name);
        ASSERT_EQ(found.size(), want.size());
        for (std::size_t i = 0; i < want.size(); ++i)
          worst = std::max(worst, std::abs(found[i] / want[i] - 1));
      }
      const std::string name = "exact" + std::to_string(world) + "t" + tag;
      expect_run(name, world, world - 1, batch, true);
      EXPECT_EQ(losses(name), losses("exact" + tag)) << name;
      EXPECT_TRUE(state(name, kLong) == state("exact" + tag, kLong)) << name;
    }
  }
  RecordProperty("largest_relative_difference", std::to_string(worst));
  std::printf("largest relative difference of a loss: %.2g\n", worst);
  EXPECT_LE(worst, 1e-4);
}

}  // namespace
}  // namespace rt::apps_test
