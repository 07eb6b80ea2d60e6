#include "rt/ops/adamw.h"

#include <cmath>

namespace rt::ref {

void adamw(ExecContext& ctx, const AdamwArgs& a) {
  if (ctx.dry_run || a.scalars->halted != 0) return;
  const StepScalars& s = *a.scalars;
  double *p = a.master.as<double>(), *m = a.m.as<double>(), *v = a.v.as<double>();
  for (std::int64_t i = 0; i < a.master.numel(); ++i) {
    const double g = a.grad.as<double>()[i] * static_cast<double>(s.grad_scale);
    m[i] = a.beta1 * m[i] + (1 - a.beta1) * g;
    v[i] = a.beta2 * v[i] + (1 - a.beta2) * g * g;
    const double step =
        m[i] / static_cast<double>(s.bias1) / (std::sqrt(v[i] / static_cast<double>(s.bias2)) + a.eps);
    p[i] -= static_cast<double>(s.lr) * a.lr_scale * (step + a.weight_decay * p[i]);
    if (a.value.data != a.master.data) set_element(a.value, i, p[i]);
  }
}

}  // namespace rt::ref
