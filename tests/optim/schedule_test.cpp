#include "rt/optim/schedule.h"

#include <gtest/gtest.h>

namespace rt {
namespace {

// The lr column that RWKV-LM's trainer printed for the MiniPile demo (reference/rwkv.md 3.7): batch 16,
// context 512, 6e-4 to 6e-5, exit after 1498226207 tokens, warm-up 10; the value set at the start of the last
// of 2520 steps.
TEST(Schedule, ReproducesThePublishedRun) {
  Schedule s;
  s.shape = ScheduleShape::Cosine;
  s.lr = 6e-4;
  s.final_fraction = 0.1;
  s.warmup = 10;
  s.total = 1498226207 / (16 * 512);
  const double published[] = {0.00059975, 0.00059899, 0.00059773, 0.00059597, 0.00059371, 0.00059096,
                              0.00058771, 0.00058399, 0.00057978, 0.00057511, 0.00056999, 0.00056441};
  for (int epoch = 0; epoch < 12; ++epoch)
    EXPECT_NEAR(s.at(2520 * (epoch + 1) - 1), published[epoch], 5.1e-9) << epoch;
}

TEST(Schedule, ShapesMeetTheirEnds) {
  Schedule s;
  s.lr = 1;
  s.final_fraction = 0.2;
  s.warmup = 10;
  s.total = 110;
  s.decay = 40;
  EXPECT_DOUBLE_EQ(s.at(0), 0.01);
  for (const auto shape : {ScheduleShape::Cosine, ScheduleShape::Linear, ScheduleShape::Wsd}) {
    s.shape = shape;
    for (const auto decay : {DecayShape::Linear, DecayShape::OneMinusSqrt, DecayShape::Cosine}) {
      s.decay_shape = decay;
      EXPECT_DOUBLE_EQ(s.at(10), 1.0);
      EXPECT_NEAR(s.at(110), 0.2, 1e-12);
      EXPECT_NEAR(s.at(100000), 0.2, 1e-12);
      for (int step = 11; step <= 110; ++step) EXPECT_LE(s.at(step), s.at(step - 1) + 1e-12);
    }
  }
  s.shape = ScheduleShape::Wsd;
  EXPECT_DOUBLE_EQ(s.at(69), 1.0);
  EXPECT_LT(s.at(71), 1.0);
  s.shape = ScheduleShape::Constant;
  EXPECT_DOUBLE_EQ(s.at(109), 1.0);
}

}  // namespace
}  // namespace rt
