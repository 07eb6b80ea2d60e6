#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "rt/nn/param_store.h"
#include "rt/ops/adamw.h"

namespace rt {

// Updates the masters (and compute copies) of a ParamStore from its flat gradient.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // `scalars` is on the device: what it holds when the work gets there counts.
  virtual void step(ExecContext& ctx, const StepScalars* scalars) = 0;
  // Every tensor of state under "<kind>.<parameter>", in the parameter's shape: what a checkpoint stores and
  // restores, whatever the layout in memory.
  virtual void visit_state(const std::function<void(const std::string& name, const TensorView&)>& visit) = 0;
  virtual std::size_t state_bytes() const = 0;
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-18;
  double weight_decay = 0.1;
  std::optional<DType> moments{};  // BF16; empty: the masters' dtype
  Rng rounding{};                  // of BF16 moments; each step has a stream of its own
};

// AdamW with decoupled decay, per group (reference rwkv.md 1.6, 3.4). MemoryMode::Measure only counts.
class AdamW final : public Optimizer {
 public:
  AdamW(ParamStore& store, const AdamWOptions& options, MemoryMode mode = MemoryMode::Live);
  void step(ExecContext& ctx, const StepScalars* scalars) override;
  void visit_state(const std::function<void(const std::string&, const TensorView&)>& visit) override;
  std::size_t state_bytes() const override;
  const AdamWOptions& options() const { return options_; }

 private:
  ParamStore& store_;
  AdamWOptions options_;
  DType moments_;
  Tensor m_, v_;  // (trainable_extent)
};

}  // namespace rt
