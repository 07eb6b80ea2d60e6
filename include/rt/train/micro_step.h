#pragma once
#include <vector>

#include "rt/train/objective.h"

namespace rt {

// The batch where ctx computes: itself on the CPU, else a copy on ctx.saved.
BatchView on_device(ExecContext& ctx, const BatchView& batch);

// Forward and backward of one micro-batch. Returns the loss sum of each sequence; gradients are added to the
// store's. Empty in a dry run.
std::vector<double> micro_step(ExecContext& ctx, Objective& objective, const BatchView& batch,
                               double grad_scale);

// Forward only.
std::vector<double> micro_loss(ExecContext& ctx, Objective& objective, const BatchView& batch);

}  // namespace rt
