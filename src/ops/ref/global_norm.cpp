#include "rt/ops/global_norm.h"

#include <cmath>

namespace rt::ref {

void global_norm(ExecContext& ctx, const GlobalNormArgs& a, const GlobalNormOuts& o) {
  if (ctx.dry_run) return;
  NormResult r{0, 0};
  for (std::int64_t i = 0; i < a.values.numel(); ++i) {
    const double x = element(a.values, i);
    r.sum_squares += x * x;
    r.non_finite += std::isfinite(x) ? 0 : 1;
  }
  *o.result = r;
}

}  // namespace rt::ref
