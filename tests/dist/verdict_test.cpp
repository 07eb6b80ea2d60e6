#include "dist/verdict.h"

#include <gtest/gtest.h>

namespace rt::dist {
namespace {

// All in collective 4122 for 61 s, in their second look.
Scene all_wait(int world) {
  Scene scene{0, world, {}, {}, {}, 1900};
  for (int r = 0; r < world; ++r) {
    Report report{"node0" + std::to_string(r / 8) + ":" + std::to_string(r % 8), "reduce_scatter",
                  "backward"};
    report.beats = 30;
    report.begun = report.waits_in = 4122;
    report.phase_ms = report.idle_ms = 61'000;
    report.limit_ms = 60'000;
    scene.before[r] = report;
    ++report.beats;
    scene.now[r] = report;
  }
  return scene;
}

void go_to(Report& report, const char* phase, std::uint64_t begun) {
  report.phase = phase;
  report.begun = begun;
  report.waits_in = 0;
  report.op.clear();
}

TEST(Verdict, OneThatBeganFewerIsLate) {
  Scene scene = all_wait(16);
  go_to(scene.now[13], "data wait", 4120);
  EXPECT_EQ(
      find_late(scene),
      "no progress for 61 s (median step 1.9 s). rank 13 (node01:5) is in data wait since 61 s at seq 4120; "
      "15 ranks wait in reduce_scatter seq 4122.");
  // Also in its own eyes.
  scene.me = 13;
  EXPECT_EQ(find_late(scene).value_or("").find("no progress for 61 s (median step 1.9 s). rank 13 "), 0u);
}

TEST(Verdict, TheSilentComeFirst) {
  Scene scene = all_wait(4);
  go_to(scene.now[1], "forward", 4121);
  scene.now[2].beats = scene.before[2].beats;
  EXPECT_EQ(
      find_late(scene),
      "no progress for 61 s (median step 1.9 s). rank 2 (node00:2) does not answer (stopped, killed or cut "
      "off), last seen in backward at seq 4122; 1 rank waits in forward; 2 ranks wait in reduce_scatter seq "
      "4122.");
  EXPECT_EQ(silent_ranks(scene), std::vector<int>{2});
  scene.now.erase(2);
  scene.before.erase(2);
  scene.now[3].idle_ms = 0;  // for whom there is nothing to wait
  EXPECT_NE(find_late(scene).value_or("").find("rank 2 was never heard of; "), std::string::npos);
  scene.left = {2};  // ended well
  EXPECT_EQ(find_late(scene), std::nullopt);
  EXPECT_EQ(silent_ranks(scene), std::vector<int>());
}

TEST(Verdict, OneInNoCollectiveIsLateWhenOthersAre) {
  Scene scene = all_wait(3);
  go_to(scene.now[1], "eval", 4122);
  EXPECT_NE(
      find_late(scene).value_or("").find("rank 1 (node00:1) is in eval since 61 s at seq 4122; 2 ranks wait"),
      std::string::npos);
}

TEST(Verdict, WhenNoneIsLateThatIsSaid) {
  Scene scene = all_wait(3);
  scene.median_ms = 0;
  EXPECT_EQ(
      find_late(scene),
      "no progress for 61 s (no step has been measured). no rank is late: check the network between them; 3 "
      "ranks wait in reduce_scatter seq 4122.");
  for (int r = 0; r < 3; ++r) go_to(scene.now[r], "load", 0);
  EXPECT_EQ(find_late(scene), "no progress for 61 s (no step has been measured). 3 ranks wait in load.");
}

TEST(Verdict, ManyLateAreCounted) {
  Scene scene = all_wait(9);
  for (int r = 1; r < 8; ++r) go_to(scene.now[r], "data wait", 4000 + static_cast<std::uint64_t>(r));
  const std::string line = find_late(scene).value_or("");
  EXPECT_NE(line.find("rank 1 (node00:1) is in data wait since 61 s at seq 4001; rank 2 "),
            std::string::npos);
  EXPECT_NE(line.find("at seq 4004; and 3 more; 2 ranks wait in reduce_scatter"), std::string::npos) << line;
}

TEST(Verdict, OneWithinItsTimeoutIsWaitedForButNotForEver) {
  Scene scene = all_wait(3);
  go_to(scene.now[2], "save", 4120);
  scene.now[2].limit_ms = 1'800'000;
  EXPECT_EQ(find_late(scene), std::nullopt);
  scene.now[0].idle_ms = 600'001;
  EXPECT_TRUE(find_late(scene));
}

}  // namespace
}  // namespace rt::dist
