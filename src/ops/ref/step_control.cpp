#include "rt/ops/step_control.h"

#include <cstring>

namespace rt::ref {

void step_control(ExecContext& ctx, const StepControlArgs& a, const StepControlOuts& o) {
  if (ctx.dry_run) return;
  StepReport found{};
  found.bad_loss = -1;
  for (std::int64_t u = 0; u < a.units; ++u) {
    const NormResult norm = unit_norm(a, u);
    found.sum_squares += norm.sum_squares;
    found.non_finite += norm.non_finite;
  }
  const std::int64_t n = a.losses ? a.losses.numel() : 0;
  for (std::int64_t i = 0; i < n; ++i) {
    TensorView at = a.losses;
    at.data += loss_offset(a, i, static_cast<std::int64_t>(size_of(at.dtype)));
    const double loss = element(at, 0);
    found.loss += loss;
    if (found.bad_loss < 0 && !std::isfinite(loss)) found.bad_loss = i;
  }
  decide_step(found, a, o);
}

void keep_step(ExecContext& ctx, const KeepStepArgs& a) {
  if (ctx.dry_run || a.report->halted != Halt::No) return;
  std::memcpy(a.to.data, a.from.data, a.from.nbytes());
}

}  // namespace rt::ref
