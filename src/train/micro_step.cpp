#include "rt/train/micro_step.h"

namespace rt {
namespace {

std::vector<double> read(ExecContext& ctx, const TensorView& sums) {
  std::vector<double> values;
  if (ctx.dry_run) return values;
  for (std::int64_t b = 0; b < sums.numel(); ++b) values.push_back(element(sums, b));
  return values;
}

}  // namespace

std::vector<double> micro_step(ExecContext& ctx, Objective& objective, const BatchView& batch,
                               double grad_scale) {
  const ArenaScope saved(ctx.saved);
  const ArenaScope scratch(ctx.scratch);
  Tape tape(ctx, Record::Yes);
  const std::int64_t B = batch.tokens.shape[0];
  const TensorView ones = ctx.scratch.alloc({B}, accum_dtype(ctx), "loss.seed");
  if (!ctx.dry_run) {
    for (std::int64_t b = 0; b < B; ++b) set_element(ones, b, 1.0);
  }
  const Var loss = objective.loss(tape, batch, grad_scale);
  const std::vector<double> sums = read(ctx, tape.value(loss));
  tape.seed(loss, ones);
  tape.backward();
  return sums;
}

std::vector<double> micro_loss(ExecContext& ctx, Objective& objective, const BatchView& batch) {
  const ArenaScope saved(ctx.saved);
  Tape tape(ctx, Record::No);
  return read(ctx, tape.value(objective.loss(tape, batch, 0.0)));
}

}  // namespace rt
