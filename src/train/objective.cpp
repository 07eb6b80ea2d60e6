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
  VarList state;
  for (const TensorView& view : batch.state) state.push_back(tape.input(view));
  const LanguageModel::Out out =
      model_.forward(tape, {.tokens = tokens,
                            .reset = reset,
                            .state = state,
                            .taps = nullptr,
                            .recompute = recompute_,
                            .before_unit = before_unit_ ? &before_unit_ : nullptr});
  for (std::size_t i = 0; i < batch.state_after.size() && !tape.ctx().dry_run; ++i)
    copy(batch.state_after[i], tape.value(out.state[i]), tape.ctx().stream);
  return linear_cross_entropy(tape, out.hidden, tape.param(model_.head()), targets, grad_scale, l2wrap_);
}

}  // namespace rt
