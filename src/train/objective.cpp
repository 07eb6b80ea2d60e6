#include "rt/train/objective.h"

#include "rt/ops/linear_cross_entropy.h"

namespace rt {

BatchView view_of(const data::Batch& batch) {
  // Ops only read their inputs; TensorView has no const form.
  const Shape shape{batch.B, batch.T};
  BatchView view{{const_cast<std::int32_t*>(batch.tokens.data()), shape, DType::I32},
                 {const_cast<std::int32_t*>(batch.targets.data()), shape, DType::I32},
                 {}};
  if (!batch.reset.empty()) view.reset = {const_cast<std::uint8_t*>(batch.reset.data()), shape, DType::U8};
  return view;
}

Var NextToken::loss(Tape& tape, const BatchView& batch, double grad_scale) {
  const Var tokens = tape.input(batch.tokens);
  const Var targets = tape.input(batch.targets);
  const Var reset = batch.reset ? tape.input(batch.reset) : Var{};
  const LanguageModel::Out out = model_.forward(
      tape, {.tokens = tokens, .reset = reset, .state = {}, .taps = nullptr, .recompute = recompute_});
  return linear_cross_entropy(tape, out.hidden, tape.param(model_.head()), targets, grad_scale, l2wrap_);
}

}  // namespace rt
