#pragma once
#include "rt/ops/global_norm.h"
#include "rt/optim/optimizer.h"

namespace rt {

// Sum of squares and count of non-finite elements of a step's gradient. Waits for the device. Zeros in a dry
// run.
NormResult gradient_norm(ExecContext& ctx, const TensorView& flat_grad);

// What the optimizer reads in step t, which counts from 1. The gradient is scaled by
// min(1, clip / (norm + 1e-6)) as torch.nn.utils.clip_grad_norm_ does; clip 0: never.
StepScalars step_scalars(const AdamWOptions& options, double lr, double clip, double norm, std::uint64_t t);

}  // namespace rt
