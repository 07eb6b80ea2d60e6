#include "rt/train/update.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

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

Update::Update(ExecContext& ctx, ParamStore& store, AdamW& optimizer, double clip, Exchange* exchange,
               std::int64_t most_sequences, const SpikeRule& spike)
    : ctx_(ctx),
      store_(store),
      optimizer_(optimizer),
      clip_(clip),
      spike_(spike),
      exchange_(exchange),
      scalars_(ctx.device, sizeof(StepScalars), kStepsAhead,
               ctx.dry_run ? MemoryMode::Measure : MemoryMode::Live) {
  report_buffer_ = lasting(ctx, {static_cast<std::int64_t>(sizeof(StepReport))}, DType::U8);
  report_ = reinterpret_cast<StepReport*>(report_buffer_.view.data);
  // Alone, the losses stay where they are.
  const std::size_t losses =
      exchange ? static_cast<std::size_t>(most_sequences) * size_of(accum_dtype(ctx)) : 0;
  const std::size_t bytes = padded_bytes(store.units().size() * sizeof(NormResult) + sizeof(double) + losses);
  found_ = lasting(ctx, {exchange ? exchange->size() : 1, static_cast<std::int64_t>(bytes)}, DType::U8);
  if (spike.window > 0) window_ = lasting(ctx, {static_cast<std::int64_t>(sizeof(SpikeWindow))}, DType::U8);
}

void Update::give(double lr, std::uint64_t t, const StepLosses& losses) {
  if (!exchange_ && !ctx_.dry_run) store_.finish_grads(ctx_.stream);
  std::byte* const host = scalars_.next();
  if (!ctx_.dry_run) {
    StepScalars scalars = step_scalars(optimizer_.options(), lr, t);
    scalars.predictions = losses.predictions;
    std::memcpy(host, &scalars, sizeof scalars);
  }
  auto* const scalars = reinterpret_cast<StepScalars*>(scalars_.send(ctx_.stream));
  step_control(ctx_, find(losses, scalars),
               {scalars, report_, reinterpret_cast<SpikeWindow*>(window_.view.data)});
  optimizer_.step(ctx_, scalars);
  scalars_.release(ctx_.stream);
  if (exchange_) exchange_->share_values();
}

// Norms of what this process owns, and with others' theirs and the losses of all.
StepControlArgs Update::find(const StepLosses& losses, const StepScalars* scalars) {
  const std::span<const ParamUnit> units = store_.units();
  const std::int64_t rank = exchange_ ? exchange_->rank() : 0;
  const TensorView found = found_.view.slice(0, rank, rank + 1).reshape({found_.view.shape[1]});
  auto* norm = reinterpret_cast<NormResult*>(found.data);
  for (const ParamUnit& unit : units) global_norm(ctx_, unit.own_grad, norm++, unit.norm_slices);

  StepControlArgs args{reinterpret_cast<const NormResult*>(found_.view.data), losses.mine, clip_};
  args.units = static_cast<std::int64_t>(units.size());
  args.spike = spike_;
  args.predictions = &scalars->predictions;
  if (!exchange_) return args;
  const auto bytes_at = [&](const void* data, std::int64_t n) {
    return TensorView(const_cast<void*>(data), {n}, DType::U8, ctx_.device);
  };
  std::byte* const predictions = found.data + units.size() * sizeof(NormResult);
  if (!ctx_.dry_run)
    copy(bytes_at(predictions, sizeof(double)), bytes_at(args.predictions, sizeof(double)), ctx_.stream);
  const std::size_t at = units.size() * sizeof(NormResult) + sizeof(double);
  const DType dtype = accum_dtype(ctx_);
  if (losses.mine && !ctx_.dry_run)
    copy(TensorView(found.data + at, losses.mine.shape, dtype, ctx_.device), losses.mine, ctx_.stream);
  exchange_->gather(found, found_.view.reshape({found_.view.numel()}));
  args.predictions = reinterpret_cast<const double*>(found_.view.data + units.size() * sizeof(NormResult));
  args.losses = TensorView(found_.view.data + at, {losses.total}, dtype, ctx_.device);
  args.ranks = exchange_->size();
  // Else every process has the whole gradient, and the same norms.
  if (store_.sharding().shares(1)) args.norm_ranks = args.ranks;
  args.stride = found.numel();
  args.rows = losses.rows;
  return args;
}

StepReport Update::read() {
  StepReport report{};
  if (!ctx_.dry_run) fetch(ctx_, &report, report_, sizeof report);
  return report;
}

void Update::forget() {
  device_api(ctx_.device.kind).fill(report_, 0, sizeof(StepReport), ctx_.stream.native());
}

std::vector<StepPoint> Update::window() const {
  std::vector<StepPoint> steps;
  if (spike_.window == 0 || ctx_.dry_run) return steps;
  const HostTensor host(window_.view);
  const auto& all = *reinterpret_cast<const SpikeWindow*>(host.view().data);
  const auto size = static_cast<std::uint64_t>(spike_.window);
  for (std::uint64_t i = all.count - std::min(all.count, size); i < all.count; ++i)
    steps.push_back(all.steps[i % size]);
  return steps;
}

void Update::set_window(std::span<const StepPoint> steps) {
  if (spike_.window == 0) return;
  steps = steps.last(std::min(steps.size(), static_cast<std::size_t>(spike_.window)));
  const auto all = std::make_unique<SpikeWindow>();
  all->count = steps.size();
  std::copy(steps.begin(), steps.end(), all->steps);
  copy(window_.view, TensorView(all.get(), window_.view.shape, DType::U8));
}

std::size_t Update::device_bytes() const {
  return scalars_.device_bytes() + sizeof(StepReport) + found_.view.nbytes() + window_.view.nbytes();
}

}  // namespace rt
