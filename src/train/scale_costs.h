#pragma once
#include <vector>

#include "rt/nn/model_spec.h"
#include "rt/train/machines.h"

namespace rt::scale {

struct Cost {  // seconds
  double products = 0, scan = 0, streaming = 0;
  double total() const { return products + scan + streaming; }
  Cost& operator+=(const Cost& other);
};

// One micro-step of `tokens` tokens; backward without recomputation.
struct UnitCost {
  Cost forward, backward;
};

// The embedding, each block, the head: in the order of forward. The head's op forms its gradients in forward.
std::vector<UnitCost> unit_costs(const ModelSpec& spec, std::int64_t tokens, const Machine& machine);

// Norm and AdamW over `elements` parameters with moments of so many bytes.
double optimizer_seconds(double elements, std::size_t moment_bytes, const Machine& machine);

}  // namespace rt::scale
