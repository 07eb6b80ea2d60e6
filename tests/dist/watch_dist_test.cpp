#include <nlohmann/json.hpp>

#include "tests/dist/cluster.h"

namespace rt::dist {
namespace {

constexpr Milliseconds kSoon(5000);

// Processes that a launcher started: nobody but they themselves sees what happens.
class WatchDist : public Cluster {
 protected:
  // All but one end with 76 within the time, each with one error, which has `part` in it.
  void all_others_end(const std::vector<pid_t>& pids, std::size_t but, const std::string& part,
                      Milliseconds within) {
    const auto begin = SteadyClock::now();
    for (std::size_t r = 0; r < pids.size(); ++r) {
      if (r == but) continue;
      EXPECT_EQ(wait(pids[r]), 76) << out(std::to_string(r));
      EXPECT_LT(SteadyClock::now() - begin, within);
      const std::string said = out(std::to_string(r));
      EXPECT_EQ(count(said, "error: "), 1) << said;
      EXPECT_TRUE(has(said, part)) << said;
    }
  }
};

TEST_F(WatchDist, AKilledRankEndsAll) {
  const auto pids = start_ranks(4, {});
  ASSERT_TRUE(reach(3));
  kill(pids[2], SIGKILL);
  all_others_end(pids, 2, "rank 2 (here:2): its process ended without a word", kSoon);
}

// It takes the store with it.
TEST_F(WatchDist, RankZeroKilledEndsAll) {
  const auto pids = start_ranks(3, {});
  ASSERT_TRUE(reach(3));
  kill(pids[0], SIGKILL);
  all_others_end(pids, 0, "rank 0, which serves the store at 127.0.0.1:", kSoon);
}

TEST_F(WatchDist, AStoppedRankIsNamedByAllOthers) {
  const auto pids = start_ranks(4, {"timeout_ms=1500", "do=2:5:stop"});
  ASSERT_TRUE(reach(4));
  all_others_end(pids, 2, "rank 2 (here:2) does not answer (stopped, killed or cut off), last seen in ",
                 Milliseconds(1500) + kSoon);
  EXPECT_TRUE(has(out("1"), "3 ranks wait in all_reduce seq 6. Trace: " + (dir_ / "hang-4/").string()))
      << out("1");
  for (const int r : {0, 1, 3}) {
    const auto trace = nlohmann::json::parse(slurp(dir_ / "hang-4" / ("rank" + std::to_string(r) + ".json")));
    EXPECT_EQ(trace["rank"], r);
    EXPECT_EQ(trace["this"]["phase"], "backward");
    EXPECT_EQ(trace["ranks"].size(), 4u);
    EXPECT_EQ(trace["collectives"].size(), 6u);
    EXPECT_TRUE(trace["collectives"][5]["done_s_ago"].is_null());
    EXPECT_FALSE(trace["collectives"][4]["done_s_ago"].is_null());
  }
  // Gone on with, it learns that it is too late.
  kill(pids[2], SIGCONT);
  EXPECT_EQ(wait(pids[2]), 76) << out("2");
}

TEST_F(WatchDist, AStoppedStoreIsNamedByAllOthers) {
  const auto pids = start_ranks(3, {"timeout_ms=1500", "steps=60", "do=1:5:save", "do=0:6:stop",
                                    "do=1:6:stop", "do=2:6:stop", "do=0:20:warn"});
  ASSERT_TRUE(reach(5));
  EXPECT_TRUE(has(out("0") + out("2"), "other ranks are at work within their timeouts")) << out("0");
  std::this_thread::sleep_for(Milliseconds(2500));
  for (const pid_t pid : pids) kill(pid, SIGCONT);
  ASSERT_TRUE(reach(7));
  for (const pid_t pid : pids) kill(pid, SIGSTOP);
  std::this_thread::sleep_for(Milliseconds(2500));
  for (const pid_t pid : pids) kill(pid, SIGCONT);
  for (const pid_t pid : pids) EXPECT_EQ(wait(pid, kSoon), 0) << out("0") << out("1") << out("2");
}

TEST_F(WatchDist, AHungRankIsNamedByAllAndItself) {
  const auto pids = start_ranks(3, {"timeout_ms=1500", "do=1:5:hang"});
  ASSERT_TRUE(reach(4));
  all_others_end(pids, 9, "rank 1 (here:1) is in data wait since ", Milliseconds(1500) + kSoon);
  EXPECT_TRUE(has(out("0"), "at seq 5; 2 ranks wait in all_reduce seq 6.")) << out("0");
}

TEST_F(WatchDist, WhatARankThrowsIsInEveryLog) {
  const auto pids = start_ranks(4, {"do=1:3:data"});
  EXPECT_EQ(wait(pids[1]), 3);
  all_others_end(pids, 1,
                 "rank 1 (here:1): shard 12: checksum mismatch. Re-copy this file. This process ends too.",
                 kSoon);
}

// Its words get through although the store goes with it.
TEST_F(WatchDist, RankZeroWaitsForTheOthersToHearIt) {
  const auto pids = start_ranks(3, {"do=0:3:unknown"});
  EXPECT_EQ(wait(pids[0], kSoon), 1);
  all_others_end(pids, 0, "rank 0 (here:0): something else. This process ends too.", kSoon);
}

TEST_F(WatchDist, AnEndInSilenceIsAFailureTheOtherEndsAreNone) {
  auto pids = start_ranks(3, {"do=1:3:exit4"});
  EXPECT_EQ(wait(pids[1]), 4);
  all_others_end(pids, 1, "rank 1 (here:1): its process ended without a word", kSoon);
  fs::remove(dir_ / "step");
  pids = start_ranks(3, {"steps=10"});
  for (std::size_t r = 0; r < pids.size(); ++r) {
    EXPECT_EQ(wait(pids[r]), 0);
    EXPECT_EQ(out(std::to_string(r)), "[member] rank " + std::to_string(r) + " is done\n");
  }
}

// A lost connection is what another's failure looks like.
TEST_F(WatchDist, TheLossOfAPeerIsNotTheCauseWhenThereIsOne) {
  const auto pids = start_ranks(3, {"do=1:3:peer", "do=2:3:late"});
  EXPECT_EQ(wait(pids[2], kSoon), 3) << out("2");
  all_others_end(pids, 2,
                 "rank 2 (here:2): shard 12: checksum mismatch. Re-copy this file. This process ends too.",
                 kSoon);
}

TEST_F(WatchDist, TheStoreOutlivesTheWorkOfRankZero) {
  for (const pid_t pid : start_ranks(3, {"steps=5", "last_ms=2700"})) EXPECT_EQ(wait(pid), 0) << out("1");
}

TEST_F(WatchDist, ASignalToOneStopsAllAtTheSameStep) {
  const auto pids = start_ranks(3, {});
  ASSERT_TRUE(reach(3));
  kill(pids[1], SIGUSR1);
  std::string at;
  for (std::size_t r = 0; r < pids.size(); ++r) {
    EXPECT_EQ(wait(pids[r], kSoon), 75);
    const std::string said = out(std::to_string(r));
    EXPECT_EQ(count(said, "\n"), 1) << said;
    const std::string step = said.substr(said.find("stops"), said.find(':') - said.find("stops"));
    EXPECT_TRUE(r == 0 || step == at) << said;
    at = step;
  }
  EXPECT_TRUE(has(out("1"), "rank 1 (here:1): SIGUSR1")) << out("1");
}

// A phase that says it takes longer than the timeout, and a run that is stopped as a whole, are no hang. Not
// either if it is stopped before those who waited for that phase have seen that it is over.
TEST_F(WatchDist, WhoHasReasonsIsWaitedFor) {
  const auto pids = start_ranks(3, {"timeout_ms=1500", "steps=30", "do=1:5:save", "do=0:6:stop",
                                    "do=1:6:stop", "do=2:6:stop", "do=0:20:warn"});
  ASSERT_TRUE(reach(5));
  EXPECT_TRUE(has(out("0") + out("2"), "other ranks are at work within their timeouts")) << out("0");
  std::this_thread::sleep_for(Milliseconds(2500));
  for (const pid_t pid : pids) kill(pid, SIGCONT);
  for (const pid_t pid : pids) EXPECT_EQ(wait(pid, kSoon), 0) << out("0") << out("1") << out("2");
}

}  // namespace
}  // namespace rt::dist
