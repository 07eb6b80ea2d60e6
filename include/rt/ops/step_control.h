#pragma once
#include <cmath>

#include "rt/core/host_device.h"
#include "rt/ops/adamw.h"
#include "rt/ops/global_norm.h"

namespace rt {

enum class Halt : std::uint64_t { No, NotFinite, Spike };
struct StepPoint {
  double loss, norm;  // mean loss of a prediction, norm of the gradient
};

// What a step comes to once its gradient is there.
struct StepReport {
  std::uint64_t step;       // StepScalars::step
  double loss;              // sum of the losses
  double sum_squares;       // of the gradient
  std::int64_t non_finite;  // elements of the gradient that are not
  std::int64_t bad_loss;    // index of the first loss that is not finite; -1: none
  Halt halted;              // the step is bad, and why
  std::uint64_t spikes;     // steps so far, this one included, that were too far from those before them
  StepPoint spike;          // the last of these
  std::uint64_t spike_step;
};

// The steps so far, of which the last are kept: step i in slot i % window.
inline constexpr int kMostSpikeWindow = 1024;
struct SpikeWindow {
  std::uint64_t count;
  StepPoint steps[kMostSpikeWindow];
};
// A step is too far when its loss or norm is more than sigma standard deviations above the mean of the last
// `window` steps, of which at least half have been seen (the skip-step optimizer of OLMo-core).
struct SpikeRule {
  int window = 0;  // at most kMostSpikeWindow; 0: no step is too far
  double sigma = 6;
  bool halts = false;
};

// Stands between a step's gradient and its update, so that the host need not look at the one before it gives
// the other:
//   grad_scale = min(1, clip / (sqrt(sum_squares) + 1e-6)), as torch.nn.utils.clip_grad_norm_; clip 0: 1
//   halted: the step is bad, or an earlier one was; the update then does nothing
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
  std::int64_t norm_ranks = 1;          // 1: rank 0's are those of all
  const double* predictions = nullptr;  // rank 0's; null: one
  SpikeRule spike = {};
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
  StepScalars* scalars;           // step is read, grad_scale and halted are written
  StepReport* report;             // all zero before the first step
  SpikeWindow* window = nullptr;  // where the rule has one; all zero before the first step
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

// Whether a value is too far above those of the window, oldest first, so that a window that was stored and
// read back decides the same.
RT_HOST_DEVICE inline bool too_far(const SpikeRule& rule, const SpikeWindow& w, double StepPoint::*what,
                                   double value) {
  const auto window = static_cast<std::uint64_t>(rule.window);
  const std::uint64_t n = w.count < window ? w.count : window, first = w.count - n;
  if (n < 2 || n < window / 2) return false;
  double sum = 0, squares = 0;
  for (std::uint64_t i = first; i < w.count; ++i) sum += w.steps[i % window].*what;
  const double mean = sum / static_cast<double>(n);
  for (std::uint64_t i = first; i < w.count; ++i) {
    const double d = w.steps[i % window].*what - mean;
    squares += d * d;
  }
  return value - mean > rule.sigma * sqrt(squares / static_cast<double>(n - 1));
}

// Of all implementations, once the losses are summed: the same double arithmetic. What an earlier bad step
// has left stays, and steps that were given after it are not looked at.
RT_HOST_DEVICE inline void decide_step(const StepReport& found, const StepControlArgs& a,
                                       const StepControlOuts& o) {
  const double norm = sqrt(found.sum_squares), scale = a.clip > 0 ? a.clip / (norm + 1e-6) : 1.0;
  o.scalars->grad_scale = static_cast<float>(scale < 1.0 ? scale : 1.0);
  if (o.report->halted == Halt::No) {
    StepReport now = found;
    now.step = o.scalars->step;
    now.spikes = o.report->spikes;
    now.spike = o.report->spike;
    now.spike_step = o.report->spike_step;
    if (found.non_finite > 0 || found.bad_loss >= 0) {
      now.halted = Halt::NotFinite;
    } else if (a.spike.window > 0) {
      double predictions = 0;
      for (std::int64_t r = 0; a.predictions && r < a.ranks; ++r)
        predictions +=
            *reinterpret_cast<const double*>(reinterpret_cast<const char*>(a.predictions) + r * a.stride);
      const StepPoint point{found.loss / (predictions > 1 ? predictions : 1.0), norm};
      if (too_far(a.spike, *o.window, &StepPoint::loss, point.loss) ||
          too_far(a.spike, *o.window, &StepPoint::norm, point.norm)) {
        ++now.spikes;
        now.spike = point;
        now.spike_step = now.step;
        if (a.spike.halts) now.halted = Halt::Spike;
      }
      o.window->steps[o.window->count % static_cast<std::uint64_t>(a.spike.window)] = point;
      ++o.window->count;
    }
    *o.report = now;
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
