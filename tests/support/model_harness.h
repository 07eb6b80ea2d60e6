#pragma once
#include <string>
#include <vector>

#include "rt/nn/language_model.h"
#include "tests/support/numbers.h"

// The machinery under model_suite: tiny models whose every parameter matters, random batches, steps and
// reads.
namespace rt::testing {

inline constexpr std::size_t kModelArena = std::size_t{64} << 20;

// The official init plus noise, since zero matrices hide gradients.
struct Model {
  ParamStore store;
  LanguageModel net;
  Model(const ModelSpec& spec, DType storage, double noise = 0.3);
};

// Two layers of width 32 with two heads.
ModelSpec tiny_spec(std::int64_t vocab);

struct Batch {
  Tensor tokens, targets, reset;
  Batch(const ModelSpec& spec, std::int64_t B, std::int64_t T);
};

struct StepOut {
  std::vector<double> loss;  // per sequence
  std::size_t saved = 0, nodes = 0;
};

// Forward and backward of sequences [first, end) of the batch; gradients are added to the store's.
StepOut step(Model& m, const Batch& batch, Impl impl, std::int64_t first, std::int64_t end,
             Recompute recompute = Recompute::None, bool clear = true, double l2wrap = 1e-4);
double mean_loss(Model& m, const Batch& batch);  // in the double reference

// Reads tokens [begin, end) of every row from `state` (empty: zeros).
struct Read {
  std::vector<double> logits;
  std::vector<std::vector<double>> state;
};
Read read(Model& m, const Batch& batch, Impl impl, std::int64_t begin, std::int64_t end,
          const std::vector<std::vector<double>>& state);

}  // namespace rt::testing
