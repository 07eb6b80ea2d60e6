#pragma once
#include <cstdint>
#include <vector>

namespace rt::scale {

// One unit of the flat store in a micro-step, in seconds. reduce and gather: of one collective.
struct UnitTime {
  double forward = 0, backward = 0;
  double reduce = 0, gather = 0;
};

// Seconds from the start of a step to the end of its last backward and last collective. Compute and
// communication are two queues, each in order; collectives by ZeRO stage as in rt/train/scale.h.
double timeline_seconds(const std::vector<UnitTime>& units, int zero, std::int64_t micro_steps);

}  // namespace rt::scale
