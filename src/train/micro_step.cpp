#include "rt/train/micro_step.h"

#include "rt/core/host.h"

namespace rt {
namespace {

std::vector<double> read(ExecContext& ctx, const TensorView& sums) {
  std::vector<double> values;
  if (ctx.dry_run) return values;
  const Tensor host(sums.shape, sums.dtype);
  fetch(ctx, host.view.data, sums.data, sums.nbytes());
  for (std::int64_t b = 0; b < sums.numel(); ++b) values.push_back(element(host.view, b));
  return values;
}

}  // namespace

BatchView on_device(ExecContext& ctx, const BatchView& batch) {
  return {stage(ctx, batch.tokens, "batch.tokens"), stage(ctx, batch.targets, "batch.targets"),
          stage(ctx, batch.reset, "batch.reset")};
}

std::vector<double> micro_step(ExecContext& ctx, Objective& objective, const BatchView& batch,
                               double grad_scale) {
  const ArenaScope saved(ctx.saved);
  const std::int64_t B = batch.tokens.shape[0];
  const Tensor ones({B}, accum_dtype(ctx));
  for (std::int64_t b = 0; b < B; ++b) set_element(ones.view, b, 1.0);
  const TensorView seed = stage(ctx, ones.view, "loss.seed");
  const BatchView here = on_device(ctx, batch);
  // Read when the device has been given all of the step; by then backward has released the loss itself.
  const TensorView sums = ctx.saved.alloc({B}, accum_dtype(ctx), "loss.sums");
  Tape tape(ctx, Record::Yes);
  const Var loss = objective.loss(tape, here, grad_scale);
  if (!ctx.dry_run) copy(sums, tape.value(loss), ctx.stream);
  tape.seed(loss, seed);
  tape.backward();
  return read(ctx, sums);
}

std::vector<double> micro_loss(ExecContext& ctx, Objective& objective, const BatchView& batch) {
  const ArenaScope saved(ctx.saved);
  const BatchView here = on_device(ctx, batch);
  Tape tape(ctx, Record::No);
  return read(ctx, tape.value(objective.loss(tape, here, 0.0)));
}

}  // namespace rt
