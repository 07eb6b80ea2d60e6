// A run on two machines that a launcher started, and the network between them, which breaks.
#include <functional>

#include "tests/apps/cluster_runs.h"
#include "tests/apps/disk_faults.h"
#include "tests/apps/two_machines.h"

namespace rt::apps_test {
namespace {

using Clock = std::chrono::steady_clock;

class PartitionDist : public ClusterProgram {
 protected:
  static constexpr int kTimeout = 6, kEnd = 150;

  void SetUp() override {
    if (!machines_.missing().empty()) GTEST_SKIP() << machines_.missing();
  }
  void TearDown() override {
    for (const pid_t rank : ranks_) {
      if (strike(rank, SIGKILL)) waitpid(rank, nullptr, 0);
    }
  }

  Words words(const std::string& name, const Words& more = {}) {
    Words settings = {"run.deterministic=true",  "model.layers=2",
                      "batch.global_tokens=256", "budget.steps=" + std::to_string(kEnd),
                      "eval.every=1000steps",    "checkpoint.every.steps=10",
                      "parallel.zero=2",         "dist.timeouts.step=" + std::to_string(kTimeout) + "s",
                      "dist.timeouts.init=60s",  "dist.timeouts.first_step=60s"};
    settings.insert(settings.end(), more.begin(), more.end());
    return train(name, 0, settings);
  }
  // A rank on each machine, with a name and a log of its own.
  void start_ranks(const std::string& name) {
    const Words both = words(name, {"dist.world=2", "dist.rendezvous=10.77.0.1:29517"});  // writes the file
    for (int rank = 0; rank < 2; ++rank) {
      Words own = both;
      own.insert(own.end(), {"--set", "dist.rank=" + std::to_string(rank)});
      own[0] = std::string(RT_BINARY_DIR) + "/bin/" + own[0];
      std::vector<char*> argv;
      for (std::string& word : own) argv.push_back(word.data());
      argv.push_back(nullptr);
      spew(log(rank), "");
      const pid_t test = getpid();
      ranks_[rank] = fork();
      if (ranks_[rank] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("RT_NUM_THREADS", "1", 1);
        setenv("RT_DISK_RANK", std::to_string(rank).c_str(), 1);
        const int out = open(log(rank).c_str(), O_WRONLY | O_APPEND);
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        if (getppid() == test && machines_.enter(rank)) execv(argv[0], argv.data());
        _exit(127);
      }
    }
  }
  fs::path log(int rank) const { return dir_ / ("log" + std::to_string(rank)); }
  bool log_comes_to_say(int rank, const std::string& text) const {
    for (int i = 0; i < 6000 && !waitid_gone(ranks_[rank]); ++i) {
      if (has(slurp(log(rank)), text)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  int end_of(int rank) {
    int status = 0;
    waitpid(std::exchange(ranks_[rank], -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void expect_both_end_and_go_on(int step_of_cut, const std::function<bool()>& cut, const Words& faults = {});

  TwoMachines machines_;
  pid_t ranks_[2] = {-1, -1};
};

void PartitionDist::expect_both_end_and_go_on(int step_of_cut, const std::function<bool()>& cut,
                                              const Words& faults) {
  Words calm = words("calm");
  calm[3] = "2";
  ASSERT_TRUE(succeeds(run(calm)));
  {
    const DiskFaults disk(dir_ / "disk", faults);
    start_ranks("cut");
  }
  ASSERT_TRUE(log_comes_to_say(0, "step " + std::to_string(step_of_cut) + "/"))
      << slurp(log(0)) << slurp(log(1));
  ASSERT_TRUE(cut());
  const auto begin = Clock::now();
  double seconds[2] = {0, 0};
  while (Clock::now() - begin < std::chrono::seconds(60) && (seconds[0] == 0 || seconds[1] == 0)) {
    for (int rank = 0; rank < 2; ++rank) {
      if (seconds[rank] == 0 && waitid_gone(ranks_[rank]))
        seconds[rank] = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(seconds[0] > 0 && seconds[1] > 0) << slurp(log(0)) << slurp(log(1));
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_LE(seconds[rank], kTimeout + 5) << slurp(log(rank));
    EXPECT_EQ(end_of(rank), 76) << slurp(log(rank));
    EXPECT_TRUE(
        has(slurp(log(rank)), rank == 0 ? "rank 1 (" : "rank 0, which serves the store at 10.77.0.1:29517"))
        << slurp(log(rank));
  }
  std::printf("ended after %.1f and %.1f s\n", seconds[0], seconds[1]);
  const int step = newest(run_dir("cut"));
  EXPECT_TRUE(step >= 20 && step < kEnd) << step;

  ASSERT_TRUE(machines_.mend());
  start_ranks("cut");
  for (int rank = 0; rank < 2; ++rank) ASSERT_EQ(end_of(rank), 0) << slurp(log(rank));
  EXPECT_TRUE(has(slurp(log(0)), "step " + std::to_string(step + 1) + "/")) << slurp(log(0));
  EXPECT_FALSE(has(slurp(log(0)), "step " + std::to_string(step) + "/")) << slurp(log(0));
  EXPECT_TRUE(state("cut", kEnd) == state("calm", kEnd));
}

// P6 where nothing is stopped, and each side thinks that the other is.
TEST_F(PartitionDist, WhatIsSentIsLost) {
  expect_both_end_and_go_on(35, [&] { return machines_.lose_what_is_sent(); });
}

TEST_F(PartitionDist, TheCableIsPulled) {
  expect_both_end_and_go_on(35, [&] { return machines_.pull_the_cable(); });
}

// A save may take half an hour: not of waiting for one that gives no sign of life.
TEST_F(PartitionDist, WhileACheckpointIsWritten) {
  expect_both_end_and_go_on(
      30,
      [&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(500));  // until rank 0 waits for the save
        return machines_.lose_what_is_sent();
      },
      {"1 write step-00000030.tmp/model.safetensors 2 slow"});
}

}  // namespace
}  // namespace rt::apps_test
