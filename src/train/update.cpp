#include "rt/train/update.h"

#include <algorithm>
#include <cmath>

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

StepScalars step_scalars(const AdamWOptions& options, double lr, double clip, double norm, std::uint64_t t) {
  StepScalars scalars{};
  scalars.lr = static_cast<float>(lr);
  scalars.bias1 = static_cast<float>(1 - std::pow(options.beta1, static_cast<double>(t)));
  scalars.bias2 = static_cast<float>(1 - std::pow(options.beta2, static_cast<double>(t)));
  scalars.grad_scale = static_cast<float>(clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0);
  scalars.step = t;
  scalars.rounding = options.rounding.child(t);
  return scalars;
}

}  // namespace rt
