// What becomes of a run of several processes when one of them is stopped, killed or asked to end, its
// connections are cut or its disk is full.
#include "tests/apps/cluster_support.h"

namespace rt::apps_test {
namespace {

class SurvivalDist : public Program {
 protected:
  Words train(const std::string& name, Words settings = {}, int processes = 3) {
    Words words = {"rwkv-train", config(name), "--nproc", std::to_string(processes)};
    for (const char* setting : {"batch.global_tokens=384", "budget.steps=200", "checkpoint.every.steps=20",
                                "run.deterministic=true", "dist.heartbeat=1s", "dist.timeouts.step=5s",
                                "dist.timeouts.init=60s", "dist.timeouts.first_step=60s"})
      words.insert(words.end(), {"--set", setting});
    for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
    return words;
  }
  std::string state(const std::string& name, int step = 200) const {
    return slurp(checkpoint(step, name) / "model.safetensors") +
           slurp(checkpoint(step, name) / "optimizer.safetensors");
  }
};

// P1 for several: whatever happens to one, the run ends with the bits of one that nothing happened to.
TEST_F(SurvivalDist, AKilledRankAndACutConnectionChangeNoBit) {
  ASSERT_TRUE(succeeds(run(train("straight"))));
  const pid_t supervisor = start(train("struck"));
  ASSERT_TRUE(wait_for("step 30/200"));
  ASSERT_TRUE(strike(process_of(supervisor, "1"), SIGKILL));
  ASSERT_TRUE(wait_for("restart 1 of 3"));
  ASSERT_TRUE(wait_for("step 90/200"));
  const pid_t victim = process_of(supervisor, "2");
  ASSERT_GT(victim, 0);
  EXPECT_TRUE(cut_connections(victim));
  ASSERT_TRUE(wait_for("restart 2 of 3"));
  const Outcome struck = wait(supervisor);
  ASSERT_TRUE(succeeds(struck));
  EXPECT_TRUE(has(struck.out, "killed by SIGKILL")) << struck.out;
  EXPECT_TRUE(state("struck") == state("straight"));
}

// P5: from any phase.
TEST_F(SurvivalDist, ASignalSavesFromAnyPhase) {
  struct Phase {
    const char *name, *after;
    Words settings;
  };
  const Words prompts = {"eval.samples.prompts=[\"Once\", \"a\"]", "eval.samples.max_tokens=200000",
                         "eval.samples.every=10steps"};
  const std::vector<Phase> phases = {
      {"first", "[machine]", {}},
      {"step", "step 15/", {}},
      {"save", "step 20/", {"checkpoint.every.steps=1"}},
      {"eval", "step 10/", {"eval.every=10steps", "eval.tokens=2k"}},
      {"sample", "step 10/", prompts},
  };
  for (const Phase& phase : phases) {
    Words settings = phase.settings;
    settings.push_back("budget.steps=100000");
    const pid_t supervisor = start(train(phase.name, settings));
    ASSERT_TRUE(wait_for(phase.after)) << phase.name;
    const auto begin = std::chrono::steady_clock::now();
    kill(supervisor, SIGTERM);
    const Outcome outcome = wait(supervisor);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    EXPECT_EQ(outcome.status, 75) << phase.name << outcome.out << outcome.err;
    EXPECT_LT(seconds, 20.0) << phase.name;  // of what 0.1 to 0.5 s are usual
    EXPECT_GE(newest(run_dir(phase.name)), 0) << phase.name << outcome.out << outcome.err;
  }
}

// P6: a stopped rank is named by all others, and the run goes on without a bit changed.
TEST_F(SurvivalDist, AStoppedRankIsNamedAndReplaced) {
  const pid_t supervisor = start(train("stopped", {"budget.steps=4000"}));
  ASSERT_TRUE(wait_for("step 30/"));
  ASSERT_TRUE(strike(process_of(supervisor, "1"), SIGSTOP));
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(wait_for("restart 1 of 3"));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_LT(seconds, 5 + 5 + 2) << "timeout, 5 s, and the pause before a restart";
  kill(supervisor, SIGTERM);
  const Outcome outcome = wait(supervisor);
  EXPECT_EQ(outcome.status, 75) << outcome.out << outcome.err;
  EXPECT_TRUE(has(outcome.out + outcome.err, "rank 1 (")) << outcome.out << outcome.err;
}

TEST_F(SurvivalDist, AFullDiskIsWaitedFor) {
  const fs::path small = dir_ / "small";
  fs::create_directories(small);
  if (run_shell("mount -t tmpfs -o size=8m none " + small.string()) != 0)
    GTEST_SKIP() << "a file system of a size of its own needs the right to mount one";
  const pid_t supervisor = start(
      train("full", {"run.dir=" + (small / "run").string(), "checkpoint.disk_reserve=0", "budget.steps=60"}));
  const bool going = wait_for("step 15/");
  spew(small / "filler", std::string(16 << 20, 'x'));  // as far as it goes
  const bool noticed = wait_for("no space left on device");
  fs::remove(small / "filler");
  const Outcome outcome = wait(supervisor);
  const bool saved = fs::exists(small / "run/checkpoints/step-00000060/manifest.json");
  run_shell("umount " + small.string());
  EXPECT_TRUE(going && noticed && saved) << outcome.out << outcome.err;
  EXPECT_TRUE(succeeds(outcome));
}

}  // namespace
}  // namespace rt::apps_test
