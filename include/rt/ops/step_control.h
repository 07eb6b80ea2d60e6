#pragma once
#include <cmath>

#include "rt/core/host_device.h"
#include "rt/ops/adamw.h"
#include "rt/ops/global_norm.h"

namespace rt {

// What a step comes to once its gradient is there.
struct StepReport {
  std::uint64_t step;       // StepScalars::step
  double loss;              // sum of the losses
  double sum_squares;       // of the gradient
  std::int64_t non_finite;  // elements of the gradient that are not
  std::int64_t bad_loss;    // index of the first loss that is not finite; -1: none
  std::uint64_t halted;     // 1: the step is bad, for one of these reasons
};

// Stands between a step's gradient and its update, so that the host need not look at the one before it gives
// the other:
//   grad_scale = min(1, clip / (sqrt(sum_squares) + 1e-6)), as torch.nn.utils.clip_grad_norm_; clip 0: 1
//   halted = 1 if the step is bad or an earlier one was, and the update then does nothing
// The report becomes that of this step; that of the first bad step stays.
//
// What several processes found lies side by side, a rank's `stride` bytes after that of the rank before it:
// norms of the parts of each of `units`, which are added as global_norm's tree goes on, then unit after unit;
// and losses of micro-batches of `rows` sequences, of which rank r has r, r + ranks, ...
struct StepControlArgs {
  const NormResult* norm;  // (norm_ranks, units)
  TensorView losses;       // (n) of all, f32 or f64: `data` is where rank 0's begin; absent: none
  double clip;
  std::int64_t units = 1, ranks = 1, stride = 0, rows = 1;
  std::int64_t norm_ranks = 1;  // 1: rank 0's are those of all
};
// Where loss i of all is, in bytes after rank 0's first.
RT_HOST_DEVICE inline std::int64_t loss_offset(const StepControlArgs& a, std::int64_t i, std::int64_t size) {
  const std::int64_t micro = i / a.rows;
  return micro % a.ranks * a.stride + (micro / a.ranks * a.rows + i % a.rows) * size;
}
// Of one unit.
RT_HOST_DEVICE inline NormResult unit_norm(const StepControlArgs& a, std::int64_t unit) {
  NormTree tree;
  for (std::int64_t r = 0; r < a.norm_ranks; ++r)
    tree.push(
        reinterpret_cast<const NormResult*>(reinterpret_cast<const char*>(a.norm) + r * a.stride)[unit]);
  return tree.total();
}
struct StepControlOuts {
  StepScalars* scalars;  // step is read, grad_scale and halted are written
  StepReport* report;    // all zero before the first step
};

// What a step leaves for the next one beside weights and moments: to = from, unless `report` is of a bad
// step.
struct KeepStepArgs {
  const StepReport* report;
  TensorView from, to;  // (n) U8, contiguous, from addresses that 16 divides, as it does n
};

struct StepControlKernels {
  void (*forward)(ExecContext&, const StepControlArgs&, const StepControlOuts&) = nullptr;
  void (*keep)(ExecContext&, const KeepStepArgs&) = nullptr;
};
const OpTable<StepControlKernels>& step_control_table();

void step_control(ExecContext& ctx, const StepControlArgs& args, const StepControlOuts& outs);
void keep_step(ExecContext& ctx, const KeepStepArgs& args);

// Of all implementations, once the losses are summed: the same double arithmetic.
RT_HOST_DEVICE inline void decide_step(const StepReport& found, double clip, const StepControlOuts& o) {
  const double scale = clip > 0 ? clip / (sqrt(found.sum_squares) + 1e-6) : 1.0;
  o.scalars->grad_scale = static_cast<float>(scale < 1.0 ? scale : 1.0);
  if (o.report->halted == 0) {
    *o.report = found;
    o.report->step = o.scalars->step;
    o.report->halted = found.non_finite > 0 || found.bad_loss >= 0 ? 1 : 0;
  }
  o.scalars->halted = static_cast<std::uint32_t>(o.report->halted);
}

namespace ref {
void step_control(ExecContext&, const StepControlArgs&, const StepControlOuts&);
void keep_step(ExecContext&, const KeepStepArgs&);
}  // namespace ref
namespace cuda {
RT_CUDA void step_control(ExecContext&, const StepControlArgs&, const StepControlOuts&);
RT_CUDA void keep_step(ExecContext&, const KeepStepArgs&);
}  // namespace cuda

}  // namespace rt
