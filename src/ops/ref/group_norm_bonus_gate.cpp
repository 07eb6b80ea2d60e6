#include "rt/ops/group_norm_bonus_gate.h"

#include <cmath>

#include "ops/ref/accumulate.h"

namespace rt::ref {

void group_norm_bonus_gate_forward(ExecContext& ctx, const GroupNormBonusGateArgs& a,
                                   const GroupNormBonusGateOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.y.shape.back(), N = a.head_size;
  const double *y = a.y.as<double>(), *r = a.r.as<double>(), *k = a.k.as<double>(), *v = a.v.as<double>();
  for (std::int64_t first = 0; first < a.y.numel(); first += N) {
    const std::int64_t c = first % C;
    double mean = 0, var = 0, bonus = 0;
    for (std::int64_t i = first; i < first + N; ++i) {
      mean += y[i] / double(N);
      bonus += r[i] * k[i] * a.r_k.as<double>()[c + i - first];
    }
    for (std::int64_t i = first; i < first + N; ++i) var += (y[i] - mean) * (y[i] - mean) / double(N);
    const double rstd = 1 / std::sqrt(var + a.eps);
    for (std::int64_t i = first; i < first + N; ++i) {
      const double weight = a.weight.as<double>()[c + i - first], bias = a.bias.as<double>()[c + i - first];
      o.out.as<double>()[i] = ((y[i] - mean) * rstd * weight + bias + bonus * v[i]) * a.gate.as<double>()[i];
    }
    if (!o.stats) continue;
    double* stats = o.stats.as<double>() + first / N * 3;
    stats[0] = mean;
    stats[1] = rstd;
    stats[2] = bonus;
  }
}

void group_norm_bonus_gate_backward(ExecContext& ctx, const GroupNormBonusGateArgs& a,
                                    const GroupNormBonusGateOuts& o, const GroupNormBonusGateOutGrads& dout,
                                    const GroupNormBonusGateGrads& g) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.y.shape.back(), N = a.head_size;
  const double *y = a.y.as<double>(), *r = a.r.as<double>(), *k = a.k.as<double>(), *v = a.v.as<double>();
  const double *gate = a.gate.as<double>(), *d = dout.out.as<double>();
  const GradRef dy(g.y), dr(g.r), dk(g.k), dv(g.v), dgate(g.gate), dr_k(g.r_k), dweight(g.weight),
      dbias(g.bias);
  for (std::int64_t first = 0; first < a.y.numel(); first += N) {
    const double* stats = o.stats.as<double>() + first / N * 3;
    const double mean = stats[0], rstd = stats[1], bonus = stats[2];
    const double *r_k = a.r_k.as<double>() + first % C, *weight = a.weight.as<double>() + first % C;
    const double* bias = a.bias.as<double>() + first % C;
    double sum = 0, dot = 0, dbonus = 0;  // means of dxhat and dxhat * xhat
    for (std::int64_t n = 0; n < N; ++n) {
      const double inner = d[first + n] * gate[first + n], xhat = (y[first + n] - mean) * rstd;
      sum += inner * weight[n] / double(N);
      dot += inner * weight[n] * xhat / double(N);
      dbonus += inner * v[first + n];
    }
    for (std::int64_t n = 0; n < N; ++n) {
      const std::int64_t i = first + n, c = i % C;
      const double inner = d[i] * gate[i], xhat = (y[i] - mean) * rstd;
      dy.add(i, (inner * weight[n] - sum - xhat * dot) * rstd);
      dr.add(i, dbonus * k[i] * r_k[n]);
      dk.add(i, dbonus * r[i] * r_k[n]);
      dv.add(i, bonus * inner);
      dgate.add(i, d[i] * (xhat * weight[n] + bias[n] + bonus * v[i]));
      dr_k.add(c, dbonus * r[i] * k[i]);
      dweight.add(c, inner * xhat);
      dbias.add(c, inner);
    }
  }
}

}  // namespace rt::ref
