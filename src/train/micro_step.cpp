#include "rt/train/micro_step.h"

#include "rt/core/host.h"
#include "rt/core/log.h"

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

// What a micro-step reads from the host and leaves for it, at the same addresses every time.
struct Staged {
  TensorView seed;
  BatchView batch;
  TensorView sums;  // backward releases the loss itself, so it is copied here
};

Staged stage_batch(ExecContext& ctx, const BatchView& batch, const TensorView& ones) {
  return {stage(ctx, ones, "loss.seed"), on_device(ctx, batch),
          ctx.saved.alloc(ones.shape, ones.dtype, "loss.sums")};
}

Tensor ones_for(ExecContext& ctx, const BatchView& batch) {
  Tensor ones({batch.tokens.shape[0]}, accum_dtype(ctx));
  for (std::int64_t b = 0; b < ones.view.numel(); ++b) set_element(ones.view, b, 1.0);
  return ones;
}

// Nothing in here reads host memory on a device, so that it can be recorded.
void forward_backward(ExecContext& ctx, Objective& objective, const Staged& at, double grad_scale) {
  Tape tape(ctx, Record::Yes);
  const Var loss = objective.loss(tape, at.batch, grad_scale);
  if (!ctx.dry_run) copy(at.sums, tape.value(loss), ctx.stream);
  tape.seed(loss, at.seed);
  tape.backward();
}

}  // namespace

BatchView on_device(ExecContext& ctx, const BatchView& batch) {
  return {stage(ctx, batch.tokens, "batch.tokens"), stage(ctx, batch.targets, "batch.targets"),
          stage(ctx, batch.reset, "batch.reset")};
}

std::vector<double> micro_step(ExecContext& ctx, Objective& objective, const BatchView& batch,
                               double grad_scale) {
  const ArenaScope saved(ctx.saved);
  const Tensor ones = ones_for(ctx, batch);
  const Staged at = stage_batch(ctx, batch, ones.view);
  forward_backward(ctx, objective, at, grad_scale);
  return read(ctx, at.sums);
}

std::vector<double> micro_loss(ExecContext& ctx, Objective& objective, const BatchView& batch) {
  const ArenaScope saved(ctx.saved);
  const BatchView here = on_device(ctx, batch);
  Tape tape(ctx, Record::No);
  return read(ctx, tape.value(objective.loss(tape, here, 0.0)));
}

std::vector<double> MicroStepper::run(const BatchView& batch, double grad_scale, bool first) {
  Kind& kind = kinds_[first ? 0 : 1];
  const bool reset = static_cast<bool>(batch.reset);
  const ArenaScope saved(ctx_.saved);
  const Tensor ones = ones_for(ctx_, batch);
  const Staged at = stage_batch(ctx_, batch, ones.view);
  if (kind.graph && kind.shape == batch.tokens.shape && kind.reset == reset &&
      kind.grad_scale == grad_scale) {
    kind.graph->launch(ctx_.stream);
    for (Parameter* p : kind.reached) p->has_grad = true;
    return read(ctx_, at.sums);
  }
  if (graphs_ && !kind.graph && ++kind.calls == 2 && ctx_.device.kind != DeviceKind::Cpu) {
    std::vector<Parameter*> had;
    for (Parameter* p : store_.parameters())
      if (p->has_grad) had.push_back(p);
    std::string why;
    kind.graph = DeviceGraph::record(
        ctx_.stream, [&] { forward_backward(ctx_, objective_, at, grad_scale); }, &why);
    if (kind.graph) {
      kind.shape = batch.tokens.shape;
      kind.reset = reset;
      kind.grad_scale = grad_scale;
      for (Parameter* p : store_.parameters())
        if (p->has_grad) kind.reached.push_back(p);
      kind.graph->launch(ctx_.stream);
      return read(ctx_, at.sums);
    }
    log::info("graph", "micro-steps are not recorded: {}", why);
    graphs_ = false;
    store_.clear_grads();  // as before the attempt, which ran nothing
    for (Parameter* p : had) p->has_grad = true;
  }
  forward_backward(ctx_, objective_, at, grad_scale);
  return read(ctx_, at.sums);
}

}  // namespace rt
