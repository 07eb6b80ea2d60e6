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
  // What this process holds of every tensor of state, "<kind>.<parameter>" with the parameter's shape: what a
  // checkpoint stores and restores, whatever the layout in memory. values (n): elements from part.begin on.
  using VisitState =
      std::function<void(const std::string& name, const ParamPart& part, const TensorView& values)>;
  virtual void visit_state(const VisitState& visit) = 0;
  // Names of all of it, over all processes.
  struct StateTensor {
    std::string name;
    const Parameter* parameter;
    DType dtype;
  };
  virtual std::vector<StateTensor> state_tensors() const = 0;
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
  void visit_state(const VisitState& visit) override;
  std::vector<StateTensor> state_tensors() const override;
  std::size_t state_bytes() const override;
  const AdamWOptions& options() const { return options_; }

 private:
  ParamStore& store_;
  AdamWOptions options_;
  DType moments_;
  Tensor m_, v_;  // (owned_extent)
};

}  // namespace rt
