// Several processes with a GPU each, as far as a machine without one can tell: the kernels are emulated, and
// NCCL is a library whose ranks are processes (tests/cuda/nccl/process_nccl.cpp).
#include <gtest/gtest.h>

#include <cmath>

#include "tests/apps/cluster_runs.h"

namespace rt::apps_test {
namespace {

class GpuClusterDist : public ClusterProgram {
 protected:
  void SetUp() override {
#ifdef RT_PROCESS_NCCL
    setenv("RT_NCCL_LIBRARY", RT_PROCESS_NCCL, 1);
#else
    GTEST_SKIP() << "built without the emulation of kernels";
#endif
  }
  void TearDown() override { unsetenv("RT_NCCL_LIBRARY"); }

  void expect_run(const std::string& name, int processes, const Words& settings) {
    Words all = {"device=cuda",    "model.layers=2",   "batch.global_tokens=256", "batch.micro_sequences=1",
                 "budget.steps=4", "eval.every=2steps"};
    all.insert(all.end(), settings.begin(), settings.end());
    const Outcome outcome = run(train(name, processes, all, "rwkv-train-emulated"));
    EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  }
};

TEST_F(GpuClusterDist, WorldsAndStagesOfZeroComeToTheSameBits) {
  for (const std::string compute : {"bf16", "f32"}) {
    const Words settings = {"run.deterministic=true", "precision.compute=" + compute};
    expect_run("alone-" + compute, 1, settings);
    const std::string want = state("alone-" + compute, 4);
    ASSERT_FALSE(want.empty());
    for (const int world : {2, 4}) {
      for (const int zero : {0, 1, 2, 3}) {
        if (world == 4 && zero != 3) continue;
        Words own = settings;
        own.push_back("parallel.zero=" + std::to_string(zero));
        const std::string name = compute + std::to_string(world) + std::to_string(zero);
        expect_run(name, world, own);
        EXPECT_TRUE(state(name, 4) == want) << name;
        EXPECT_EQ(evaluations(name), evaluations("alone-" + compute)) << name;
      }
    }
  }
}

// Sums in one round of two, so that the other is recorded and replayed.
TEST_F(GpuClusterDist, LossesAgreeWithoutTheFixedOrderToo) {
  const Words settings = {"precision.compute=f32", "batch.micro_sequences=2"};
  expect_run("alone", 1, settings);
  const std::vector<double> want = losses("alone");
  ASSERT_EQ(want.size(), 4U);
  for (const int zero : {0, 1}) {
    Words own = settings;
    own.push_back("parallel.zero=" + std::to_string(zero));
    const std::string name = "two" + std::to_string(zero);
    expect_run(name, 2, own);
    const std::vector<double> found = losses(name);
    ASSERT_EQ(found.size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(found[i], want[i], 1e-5 * want[i]) << name << i;
  }
}

TEST_F(GpuClusterDist, ProcessesShareTheTimeOfASequence) {
  const Words settings = {"precision.compute=f32", "data.document_state=reset", "batch.micro_sequences=2"};
  expect_run("alone", 1, settings);
  Words own = settings;
  own.emplace_back("parallel.context=2");
  expect_run("shared", 4, own);
  const std::vector<double> want = losses("alone"), found = losses("shared");
  ASSERT_EQ(want.size(), 4U);
  ASSERT_EQ(found.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(found[i], want[i], 1e-5 * want[i]) << i;
}

TEST_F(GpuClusterDist, ACheckpointOfFourIsReadByTwo) {
  const Words settings = {"run.deterministic=true", "parallel.zero=2"};
  expect_run("whole", 1, settings);
  Words half = settings;
  half.emplace_back("budget.steps=2");
  expect_run("moved", 4, half);
  Words rest = settings;
  rest.emplace_back("checkpoint.allow_change=[budget]");
  expect_run("moved", 2, rest);
  EXPECT_TRUE(state("moved", 4) == state("whole", 4));
}

// Without --nproc, where the device is left to the program.
TEST_F(GpuClusterDist, EachGpuOfAMachineGetsAProcess) {
  const Words words = {"rwkv-train-emulated", config("all"), "--set", "budget.steps=2"};
  setenv("RT_EMULATED_DEVICES", "2", 1);
  const Outcome two = run(words);
  unsetenv("RT_EMULATED_DEVICES");
  EXPECT_EQ(two.status, 0) << two.out << two.err;
  EXPECT_NE(two.out.find("2 processes, from rwkv-train --nproc"), std::string::npos) << two.out;
  EXPECT_NE(slurp(run_dir("all") / "config.yaml").find("device: auto"), std::string::npos);

  Words named = words;
  named[1] = config("named");
  setenv("RT_EMULATED_DEVICES", "2", 1);
  named.insert(named.end(), {"--set", "device=cuda:1"});
  const Outcome one = run(named);
  EXPECT_EQ(one.status, 0) << one.err;
  EXPECT_EQ(one.out.find("processes"), std::string::npos) << one.out;
  named.insert(named.end(), {"--nproc", "2"});
  const Outcome both = run(named);
  EXPECT_EQ(both.status, 2);
  EXPECT_NE((both.out + both.err).find("device: cuda:1 is one GPU, but this is one of 2 processes"),
            std::string::npos)
      << both.out << both.err;
  named.back() = "3";
  named[5] = "device=cuda";
  const Outcome three = run(named);
  unsetenv("RT_EMULATED_DEVICES");
  EXPECT_EQ(three.status, 2);
  EXPECT_NE((three.out + three.err).find("has 2 GPUs"), std::string::npos) << three.out << three.err;
}

}  // namespace
}  // namespace rt::apps_test
