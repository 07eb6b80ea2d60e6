#include "tests/dist/cluster.h"

namespace rt::dist {
namespace {

constexpr Milliseconds kSoon(5000);

class SupervisorDist : public Cluster {
 protected:
  // It ends with that code, and none of its processes lives on.
  void ends(pid_t supervisor, int code, Milliseconds within = kSoon) {
    EXPECT_EQ(wait(supervisor, within), code) << this->supervisor();
    for (int r = 0; fs::exists(dir_ / ("pid" + std::to_string(r))); ++r) EXPECT_FALSE(alive(pid(r))) << r;
  }
  void says(const std::string& part, int times = 1) {
    EXPECT_EQ(count(supervisor(), part), times) << part << "\n" << supervisor();
  }
};

TEST_F(SupervisorDist, AllEndWell) {
  ends(supervise(3, {"steps=10"}), 0, Milliseconds(20'000));
  EXPECT_EQ(supervisor(), "[member] rank 0 is done\n");
}

TEST_F(SupervisorDist, AKilledRankEndsAllWithOneCause) {
  for (const int victim : {0, 3}) {
    fs::remove(dir_ / "step");
    const pid_t all = supervise(4, {});
    ASSERT_TRUE(reach(3));
    const pid_t killed = pid(victim);
    kill(killed, SIGKILL);
    ends(all, 76);
    const std::string cause =
        "rank " + std::to_string(victim) + " (pid " + std::to_string(killed) + "): killed by SIGKILL";
    says("[supervisor] error: " + cause);
    says("error: rank ", count(supervisor(), cause));
    says("No restart is allowed: not started again. Exit 76.");
  }
}

TEST_F(SupervisorDist, ExitCodesOfCausesPass) {
  const std::pair<const char*, int> ends_of[] = {{"data", 3}, {"exit4", 4}, {"unknown", 1}, {"abort", 76}};
  for (const auto& [action, code] : ends_of) {
    fs::remove(dir_ / "step");
    ends(
        supervise(3, {std::string("do=1:3:") + action, code == 3 || code == 4 ? "restarts=1" : "restarts=0"}),
        code);
  }
  says("rank 1 (pid ", 2 + 1);  // of both others, and the supervisor
  says("killed by SIGABRT", 3);
}

TEST_F(SupervisorDist, WhatWouldFailAgainIsNotStartedAgain) {
  ends(supervise(3, {"do=2:3:data", "restarts=3"}), 3);
  says(
      "[supervisor] error: rank 2 (here:2): shard 12: checksum mismatch. Re-copy this file. All processes "
      "end.");
  says("[rank 2] error: shard 12: checksum mismatch. Re-copy this file.");
  says(
      "[dist] error: rank 2 (here:2): shard 12: checksum mismatch. Re-copy this file. This process ends too.",
      2);
  says("restart 1", 0);
}

TEST_F(SupervisorDist, AStoppedRankIsNamedAndKilled) {
  ends(supervise(3, {"timeout_ms=1500", "do=1:3:stop"}), 76, Milliseconds(1500 + 3000) + kSoon);
  says("[supervisor] error: no progress for ");
  says("rank 1 (here:1) does not answer (stopped, killed or cut off)", 3);
}

TEST_F(SupervisorDist, SignalsReachAllOnce) {
  const pid_t all = supervise(3, {"restarts=3", "step_ms=300"});
  ASSERT_TRUE(reach(1));
  kill(all, SIGTERM);
  std::this_thread::sleep_for(Milliseconds(100));
  kill(all, SIGTERM);  // which would end them at once
  ends(all, 75);
  says("error", 0);
}

TEST_F(SupervisorDist, StartsAgainAfterAFailure) {
  ends(supervise(3, {"steps=12", "restarts=3", "do=1:5:once:kill"}), 0, Milliseconds(20'000));
  says("[supervisor] warning: restart 1 of 3 in 0.1 s");
  says("[supervisor] restart 1 of 3: step ");
  says(" s after the failure. It was: rank 1 (pid ");
  EXPECT_EQ(number("step"), 12);
}

TEST_F(SupervisorDist, GivesUpWhenNothingIsGained) {
  std::ofstream(dir_ / "log.txt").flush();
  ends(supervise(3, {"restarts=3", "do=1:5:kill"}), 76, Milliseconds(20'000));
  says("[supervisor] warning: restart 1 of 3");
  says("restart 2", 0);
  says("No step was gained since the failure before: not started again. Exit 76.");
  EXPECT_TRUE(has(slurp(dir_ / "log.txt"), "No step was gained since")) << slurp(dir_ / "log.txt");
}

TEST_F(SupervisorDist, GivesUpAfterSoManyRestarts) {
  ends(supervise(2, {"restarts=2", "do=1:+20:kill"}), 76, Milliseconds(20'000));
  says("[supervisor] warning: restart 2 of 2 in 0.1 s");
  says("2 restarts did not help: not started again. Exit 76.");
  EXPECT_GE(number("step"), 3 * 18);
}

TEST_F(SupervisorDist, GoesOnWithoutOneThatDoesNotStart) {
  ends(supervise(3, {"steps=10", "restarts=3", "elastic=1", "fails=1"}), 0, Milliseconds(20'000));
  says("local rank 1 failed to start 2 times: the run goes on without it, in 2 processes");
  EXPECT_EQ(number("step"), 10);
  fs::remove(dir_ / "step");
  ends(supervise(3, {"steps=10", "restarts=3", "fails=1"}), 76, Milliseconds(20'000));
  says("No step was gained since the failure before");
}

TEST_F(SupervisorDist, NobodyOutlivesAKilledSupervisor) {
  const pid_t all = supervise(3, {});
  ASSERT_TRUE(reach(3));
  kill(all, SIGKILL);
  EXPECT_EQ(wait(all), 128 + SIGKILL);
  // At once, and not when they miss the store.
  for (int r = 0; r < 3; ++r) EXPECT_TRUE(until([&] { return !alive(pid(r)); }, Milliseconds(1000))) << r;
}

TEST_F(SupervisorDist, WarningsOfOthersPassOnceWithTheirRank) {
  ends(supervise(3, {"steps=5", "do=1:2:warn", "do=2:3:warn", "do=0:4:warn"}), 0);
  EXPECT_EQ(supervisor(),
            "[rank 1] [member] warning: the disk is nearly full\n[member] warning: the disk is nearly full\n"
            "[member] rank 0 is done\n");
}

}  // namespace
}  // namespace rt::dist
