#include "dist/activity.h"

#include <gtest/gtest.h>

#include <thread>

namespace rt::dist {
namespace {

TEST(Activity, TheOldestCollectiveThatIsNotDoneIsWaitedIn) {
  Activity a;
  a.enter("backward, of a name that is too long", {});
  EXPECT_EQ(a.look().phase.view(), "backward, of a name tha");
  EXPECT_FALSE(a.look().waits);
  EXPECT_EQ(a.begin("all_reduce", 10), 1u);
  EXPECT_EQ(a.begin("all_gather", 20), 2u);
  EXPECT_EQ(a.begin("barrier", 0), 3u);
  a.end(2);
  EXPECT_EQ(a.look().waits->op.view(), "all_reduce");
  a.end(1);
  EXPECT_EQ(a.look().waits->number, 3u);
  a.end(3);
  EXPECT_FALSE(a.look().waits);
  EXPECT_EQ(a.look().begun, 3u);
  EXPECT_EQ(a.look().changes, 7u);
}

TEST(Activity, KeepsTheLastCollectives) {
  Activity a;
  constexpr std::uint64_t kMany = 3 * Activity::kKept + 7;
  for (std::uint64_t n = 1; n <= kMany; ++n) {
    EXPECT_EQ(a.begin("x", n), n);
    if (n % 2 == 0) a.end(n);
  }
  a.end(1);  // no longer kept
  const auto kept = a.collectives();
  ASSERT_EQ(kept.size(), Activity::kKept);
  EXPECT_EQ(kept.back().number, kMany);
  EXPECT_EQ(kept.front().number, kMany - Activity::kKept + 1);
  EXPECT_EQ(a.look().waits->number, kept.front().number + (kept.front().done ? 1 : 0));
  EXPECT_FALSE(kept.back().done);
}

TEST(Activity, TimeoutsFollowTheRun) {
  const WatchTimeouts timeouts;
  Activity a;
  const auto limit_now = [&] { return limit(a.look(), timeouts); };
  EXPECT_EQ(limit_now(), Milliseconds(300'000));
  a.ready();
  EXPECT_EQ(limit_now(), Milliseconds(600'000));
  a.step_done(1);
  EXPECT_EQ(limit_now(), Milliseconds(60'000));
  Doing slow = a.look();
  slow.median = Milliseconds(7000);
  EXPECT_EQ(limit(slow, timeouts), Milliseconds(70'000));
  slow.allowed = Milliseconds(90'000);
  EXPECT_EQ(limit(slow, timeouts), Milliseconds(90'000));
  EXPECT_EQ(limit_for_silence(slow, timeouts), Milliseconds(70'000));
  WatchTimeouts fixed;
  fixed.step = Milliseconds(5000);
  a.enter("forward", {});
  EXPECT_EQ(limit(a.look(), fixed), Milliseconds(5000));
}

TEST(Activity, TheMedianLeavesOutTheFirstStepAndOneLongOne) {
  Activity a;
  a.ready();
  std::this_thread::sleep_for(Milliseconds(60));
  a.step_done(1);
  EXPECT_EQ(a.look().median, Milliseconds(0));
  for (int step = 2; step < 7; ++step) {
    std::this_thread::sleep_for(Milliseconds(step == 4 ? 500 : 5));
    a.step_done(step);
  }
  EXPECT_GE(a.look().median, Milliseconds(5));
  EXPECT_LT(a.look().median, Milliseconds(60));
  EXPECT_EQ(a.look().step, 6);
}

}  // namespace
}  // namespace rt::dist
