#pragma once
#include <vector>

#include "rt/train/scale.h"

namespace rt::scale {

// A model as the flat store holds it.
struct Layout {
  std::int64_t parameters = 0, active_parameters = 0;
  double flops_per_token = 0;  // the planner's
  std::vector<double> units;   // elements, padding included: the embedding, each block, the head
  double extent() const;       // all units
  double largest() const;
  // What a rank owns of all units, each rounded up to whole elements.
  double shard(std::int64_t world) const;
};
Layout layout_of(const ModelSpec& spec);

// Bytes of a micro-step of B sequences beside the flat store: the planner's dry run.
double activation_bytes(const ScaleRun& run, std::int64_t micro_sequences);

RankMemory rank_memory(const ScaleRun& run, const Layout& layout, double activations);

}  // namespace rt::scale
