#pragma once
#include <cstdint>

namespace rt {

enum class ScheduleShape : std::uint8_t { Cosine, Linear, Wsd, Constant };
enum class DecayShape : std::uint8_t { Linear, OneMinusSqrt, Cosine };

// Learning rate as a pure function of the number of finished optimizer steps.
//   warm-up: the RWKV-LM rule, lr * (0.01 + 0.99 * step / warmup) while step < warmup (reference
//   rwkv.md 3.3); then progress p = (step - warmup) / (total - warmup), clamped to [0, 1]: cosine    lr *
//   ((0.5 + f/2) + (0.5 - f/2) cos(pi p)) linear    lr * (1 - (1 - f) p) wsd       lr until total - decay,
//   then down to f * lr in the decay shape constant  lr
struct Schedule {
  ScheduleShape shape = ScheduleShape::Cosine;
  DecayShape decay_shape = DecayShape::Linear;
  double lr = 0;
  double final_fraction = 0.1;  // f
  std::int64_t warmup = 0;      // steps
  std::int64_t decay = 0;       // steps, wsd only
  std::int64_t total = 0;       // steps

  double at(std::int64_t step) const;
};

}  // namespace rt
