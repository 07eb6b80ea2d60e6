#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "rt/core/rng.h"

namespace rt {

struct SamplerOptions {
  double temperature = 1.0;  // 0: always the most likely token (the first on ties)
  double top_p = 1.0;        // keep the smallest set of tokens whose probability reaches this
  std::int64_t top_k = 0;    // keep this many most likely tokens; 0: all
  std::uint64_t seed = 0;
};

// Draws a token from logits. The order is top-k, top-p, then temperature on what is left, as the RWKV tools
// do it (reference conversion_inference.md B3.1). Draw i is a function of (seed, i) and the logits only.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);  // Exit::Config on impossible options
  std::int32_t sample(std::span<const float> logits, std::uint64_t position);

 private:
  SamplerOptions options_;
  Rng rng_;
  std::vector<std::int32_t> order_;
  std::vector<double> weights_;
};

}  // namespace rt
