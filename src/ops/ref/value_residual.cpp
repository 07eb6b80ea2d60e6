#include "rt/ops/value_residual.h"

#include "ops/ref/accumulate.h"

namespace rt::ref {

void value_residual_forward(ExecContext& ctx, const ValueResidualArgs& a, const ValueResidualOuts& o) {
  if (ctx.dry_run) return;
  const double *v = a.v.as<double>(), *first = a.v_first.as<double>(), *gate = a.gate.as<double>();
  for (std::int64_t i = 0; i < a.v.numel(); ++i) o.y.as<double>()[i] = v[i] + (first[i] - v[i]) * gate[i];
}

void value_residual_backward(ExecContext& ctx, const ValueResidualArgs& a, const ValueResidualOuts&,
                             const ValueResidualOutGrads& dout, const ValueResidualGrads& g) {
  if (ctx.dry_run) return;
  const double *v = a.v.as<double>(), *first = a.v_first.as<double>(), *gate = a.gate.as<double>();
  const double* dy = dout.y.as<double>();
  const GradRef dv(g.v), dfirst(g.v_first), dgate(g.gate);
  for (std::int64_t i = 0; i < a.v.numel(); ++i) {
    dv.add(i, dy[i] * (1 - gate[i]));
    dfirst.add(i, dy[i] * gate[i]);
    dgate.add(i, dy[i] * (first[i] - v[i]));
  }
}

}  // namespace rt::ref
