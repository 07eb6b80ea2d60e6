#include "rt/train/micro_step.h"

#include <utility>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/core/log.h"

namespace rt {
namespace {

// What a micro-step reads and leaves, at the same addresses every time.
struct Staged {
  TensorView seed;
  BatchView batch;
  TensorView sums;  // backward releases the loss itself, so it is copied here
};

Tensor ones_for(ExecContext& ctx, std::int64_t n) {
  Tensor ones({n}, accum_dtype(ctx));
  for (std::int64_t i = 0; i < n; ++i) set_element(ones.view, i, 1.0);
  return ones;
}

// Nothing in here reads host memory on a device, so that it can be recorded.
void forward_backward(ExecContext& ctx, Objective& objective, const Staged& at, double grad_scale,
                      Exchange* exchange = nullptr) {
  Tape tape(ctx, Record::Yes);
  if (exchange) tape.on_param_grad([exchange](const Parameter& p) { exchange->gradient_done(p); });
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
  const Tensor ones = ones_for(ctx, batch.tokens.shape[0]);
  const Staged at{stage(ctx, ones.view, "loss.seed"), on_device(ctx, batch),
                  ctx.saved.alloc(ones.view.shape, ones.view.dtype, "loss.sums")};
  forward_backward(ctx, objective, at, grad_scale);
  return fetch_values(ctx, at.sums);
}

MicroStepper::MicroStepper(ExecContext& ctx, Objective& objective, ParamStore& store, bool graphs,
                           std::int64_t sequences, CarriedState* carried, Exchange* exchange,
                           TimeSlices* slices)
    : ctx_(ctx),
      objective_(objective),
      store_(store),
      graphs_(graphs && !slices),
      feed_(ctx),
      carried_(carried),
      exchange_(exchange),
      slices_(slices) {
  ones_ = lasting(ctx, {sequences}, accum_dtype(ctx));
  kept_ = lasting(ctx, {sequences}, accum_dtype(ctx));
  if (!ctx.dry_run) copy(ones_.view, ones_for(ctx, sequences).view);
}

std::size_t MicroStepper::device_bytes() const {
  return feed_.device_bytes() + ones_.view.nbytes() + kept_.view.nbytes();
}

MicroStepper::Key MicroStepper::key_of(const BatchView& batch, double grad_scale, const void* staged) const {
  Key key{batch.tokens.shape, static_cast<bool>(batch.reset), grad_scale, staged, {}};
  for (const Parameter* p : store_.parameters()) key.accumulates.push_back(p->has_grad);
  return key;
}

bool MicroStepper::should_record(Kind& kind, const Key& key) {
  if (!graphs_ || ctx_.dry_run || ctx_.device.kind == DeviceKind::Cpu) return false;
  if (kind.graph && kind.key == key) {
    kind.calls = 0;
    return false;
  }
  if (kind.last != key) {
    kind.last = key;
    kind.calls = 0;
  }
  if (++kind.calls < 2) return false;
  if (kind.graph) ctx_.stream.synchronize();  // it may still be running
  kind.graph.reset();
  kind.reached.clear();
  kind.key = key;
  return true;
}

// Leaves the store as it was: nothing has run.
void MicroStepper::record(Kind& kind, const std::function<void()>& work) {
  std::string why;
  try {
    kind.graph = DeviceGraph::record(ctx_.stream, work, &why);
  } catch (const std::exception& e) {
    // What the device does not allow while it records, it allows otherwise; anything else will be thrown
    // again.
    why = e.what();
  }
  const std::vector<Parameter*>& parameters = store_.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i]->has_grad) kind.reached.push_back(parameters[i]);
    parameters[i]->has_grad = kind.key.accumulates[i];
  }
  if (kind.graph) return;
  graphs_ = false;
  log::info("graph", "micro-steps are not recorded: {}", why);
}

std::vector<double> MicroStepper::run(const BatchView& batch, double grad_scale, bool first) {
  give(batch, grad_scale, first);
  return fetch_values(ctx_, take_losses());
}

void MicroStepper::give(const BatchView& batch, double grad_scale, bool first, bool continues,
                        bool overwrite) {
  overwrite = overwrite || first;
  if (overwrite) store_.clear_grads();
  if (first) {
    kept_count_ = 0;  // of a step that was given up
    micro_ = 0;
  }
  const ArenaScope saved(ctx_.saved);
  const std::int64_t B = batch.tokens.shape[0];
  RT_CHECK(kept_count_ + B <= kept_.view.numel(), "micro-steps: losses of {} sequences, made for {}",
           kept_count_ + B, kept_.view.numel());
  const TensorView seed = ones_.view.slice(0, 0, B), kept = kept_.view.slice(0, kept_count_, kept_count_ + B);
  Staged at{seed, feed_.give(batch), ctx_.saved.alloc(seed.shape, seed.dtype, "loss.sums")};
  CarriedState::Staged state;
  if (carried_) {
    state = carried_->stage(micro_, continues);
    at.batch.state = state.before;
    at.batch.state_after = state.after;
  }
  const bool listens = exchange_ && (ctx_.device.kind == DeviceKind::Cpu || exchange_->listens(micro_));
  if (exchange_ && !listens) exchange_->await_values();  // a replay does not come to the next line
  const auto work = [&] {
    const ArenaScope scope(ctx_.saved);
    ctx_.slices = slices_;  // of this alone: what is evaluated or sampled is whole
    forward_backward(ctx_, objective_, at, grad_scale, listens ? exchange_ : nullptr);
    ctx_.slices = nullptr;
  };
  Kind& kind = kinds_[overwrite ? 0 : 1];
  const Key key = key_of(batch, grad_scale, at.sums.data);
  if (!listens && should_record(kind, key)) record(kind, work);
  if (!listens && kind.graph && kind.key == key) {
    kind.graph->launch(ctx_.stream);
    for (Parameter* p : kind.reached) p->has_grad = true;
  } else {
    work();
  }
  if (!ctx_.dry_run) copy(kept, at.sums, ctx_.stream);
  kept_count_ += B;
  if (carried_) carried_->put(micro_, state);
  ++micro_;
}

TensorView MicroStepper::take_losses() { return kept_.view.slice(0, 0, std::exchange(kept_count_, 0)); }

}  // namespace rt
