#include "rt/ops/layer_norm.h"

#include <cmath>

#include "ops/ref/accumulate.h"

namespace rt::ref {

void layer_norm_forward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.x.shape.back(), rows = a.x.numel() / C;
  const double *x = a.x.as<double>(), *w = a.weight.as<double>(), *b = a.bias.as<double>();
  double* y = o.y.as<double>();
  for (std::int64_t i = 0; i < rows; ++i, x += C, y += C) {
    double mean = 0, var = 0;
    for (std::int64_t c = 0; c < C; ++c) mean += x[c] / double(C);
    for (std::int64_t c = 0; c < C; ++c) var += (x[c] - mean) * (x[c] - mean) / double(C);
    const double rstd = 1 / std::sqrt(var + a.eps);
    for (std::int64_t c = 0; c < C; ++c) y[c] = (x[c] - mean) * rstd * w[c] + b[c];
    if (o.stats) {
      o.stats.as<double>()[2 * i] = mean;
      o.stats.as<double>()[2 * i + 1] = rstd;
    }
  }
}

void layer_norm_backward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o,
                         const LayerNormOutGrads& dout, const LayerNormGrads& g) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.x.shape.back(), rows = a.x.numel() / C;
  const double *x = a.x.as<double>(), *w = a.weight.as<double>(), *dy = dout.y.as<double>();
  const double* stats = o.stats.as<double>();
  const GradRef dx(g.x), dw(g.weight), db(g.bias);
  for (std::int64_t i = 0; i < rows; ++i, x += C, dy += C) {
    const double mean = stats[2 * i], rstd = stats[2 * i + 1];
    double sum = 0, dot = 0;  // means of dxhat and dxhat * xhat
    for (std::int64_t c = 0; c < C; ++c) {
      const double xhat = (x[c] - mean) * rstd, dxhat = dy[c] * w[c];
      sum += dxhat / double(C);
      dot += dxhat * xhat / double(C);
      dw.add(c, dy[c] * xhat);
      db.add(c, dy[c]);
    }
    for (std::int64_t c = 0; c < C; ++c) {
      const double xhat = (x[c] - mean) * rstd;
      dx.add(i * C + c, (dy[c] * w[c] - sum - xhat * dot) * rstd);
    }
  }
}

}  // namespace rt::ref
