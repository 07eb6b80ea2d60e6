#pragma once
#include <span>

#include "rt/data/loader.h"
#include "rt/nn/language_model.h"

namespace rt {

// A batch on the device, as views.
struct BatchView {
  TensorView tokens;   // (B, T) I32
  TensorView targets;  // (B, T) I32, -1 ignored
  TensorView reset;    // (B, T) U8, may be empty
  // By LanguageModel::state_fields(): what the sequences start from, none for zeros; and where to put what
  // they end with, if anywhere.
  std::span<const TensorView> state = {}, state_after = {};
};
BatchView view_of(const data::Batch& batch);  // valid while the batch is

// What a micro-batch contributes to the loss.
class Objective {
 public:
  virtual ~Objective() = default;
  // (B) sums over each sequence's counted tokens, accumulation dtype. On a recording tape the gradients that
  // a seed of ones yields are those of grad_scale * sum(result).
  // batch.state_after is filled; no gradient comes through it.
  virtual Var loss(Tape& tape, const BatchView& batch, double grad_scale) = 0;
};

// Cross-entropy of the next token, with L2Wrap in the gradient (reference rwkv.md 3.5).
class NextToken final : public Objective {
 public:
  // `before_unit`: LanguageModel::In::before_unit.
  NextToken(const LanguageModel& model, double l2wrap, Recompute recompute,
            std::function<void(std::size_t)> before_unit = {})
      : model_(model), l2wrap_(l2wrap), recompute_(recompute), before_unit_(std::move(before_unit)) {}
  Var loss(Tape& tape, const BatchView& batch, double grad_scale) override;

 private:
  const LanguageModel& model_;
  double l2wrap_;
  Recompute recompute_;
  std::function<void(std::size_t)> before_unit_;
};

}  // namespace rt
