#include "rt/train/update.h"

#include <cmath>
#include <cstring>

#include "rt/core/device_api.h"
#include "rt/core/host.h"

namespace rt {

NormResult gradient_norm(ExecContext& ctx, const TensorView& flat_grad) {
  const ArenaScope scope(ctx.scratch);
  const TensorView memory =
      ctx.scratch.alloc({static_cast<std::int64_t>(sizeof(NormResult))}, DType::U8, "gradient_norm");
  global_norm(ctx, flat_grad, reinterpret_cast<NormResult*>(memory.data));
  NormResult result{};
  if (!ctx.dry_run) fetch(ctx, &result, memory.data, sizeof result);
  return result;
}

StepScalars step_scalars(const AdamWOptions& options, double lr, std::uint64_t t) {
  StepScalars scalars{};
  scalars.lr = static_cast<float>(lr);
  scalars.bias1 = static_cast<float>(1 - std::pow(options.beta1, static_cast<double>(t)));
  scalars.bias2 = static_cast<float>(1 - std::pow(options.beta2, static_cast<double>(t)));
  scalars.grad_scale = 1;
  scalars.step = t;
  scalars.rounding = options.rounding.child(t);
  return scalars;
}

Update::Update(ExecContext& ctx, ParamStore& store, AdamW& optimizer, double clip)
    : ctx_(ctx),
      store_(store),
      optimizer_(optimizer),
      clip_(clip),
      scalars_(ctx.device, sizeof(StepScalars), kStepsAhead,
               ctx.dry_run ? MemoryMode::Measure : MemoryMode::Live) {
  buffer_ = lasting(ctx, {static_cast<std::int64_t>(sizeof(Memory))}, DType::U8);
  memory_ = reinterpret_cast<Memory*>(buffer_.view.data);
}

void Update::give(double lr, std::uint64_t t, const TensorView& losses) {
  if (!ctx_.dry_run) store_.finish_grads(ctx_.stream);
  global_norm(ctx_, store_.flat_grad(), &memory_->norm);
  std::byte* const host = scalars_.next();
  if (!ctx_.dry_run) {
    const StepScalars scalars = step_scalars(optimizer_.options(), lr, t);
    std::memcpy(host, &scalars, sizeof scalars);
  }
  auto* const scalars = reinterpret_cast<StepScalars*>(scalars_.send(ctx_.stream));
  step_control(ctx_, {&memory_->norm, losses, clip_}, {scalars, &memory_->report});
  optimizer_.step(ctx_, scalars);
  scalars_.release(ctx_.stream);
}

StepReport Update::read() {
  StepReport report{};
  if (!ctx_.dry_run) fetch(ctx_, &report, &memory_->report, sizeof report);
  return report;
}

void Update::forget() { device_api(ctx_.device.kind).fill(memory_, 0, sizeof(Memory), ctx_.stream.native()); }

std::size_t Update::device_bytes() const { return scalars_.device_bytes() + sizeof(Memory); }

}  // namespace rt
