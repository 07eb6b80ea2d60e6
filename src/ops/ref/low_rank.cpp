#include "rt/ops/low_rank.h"

#include <cmath>
#include <vector>

#include "ops/ref/accumulate.h"

namespace rt::ref {
namespace {

double apply(Activation f, double x) {
  if (f == Activation::Tanh) return std::tanh(x);
  return f == Activation::Sigmoid ? 1 / (1 + std::exp(-x)) : x;
}

// The derivative at the point where the activation is y.
double slope(Activation f, double y) {
  if (f == Activation::Tanh) return 1 - y * y;
  return f == Activation::Sigmoid ? y * (1 - y) : 1;
}

}  // namespace

void low_rank_forward(ExecContext& ctx, const LowRankArgs& a, const LowRankOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.w1.shape[0], D = a.w1.shape[1], C2 = a.w2.shape[1], rows = a.x.numel() / C;
  const double *x = a.x.as<double>(), *w1 = a.w1.as<double>(), *w2 = a.w2.as<double>();
  double *h = o.h.as<double>(), *y = o.y.as<double>();
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t d = 0; d < D; ++d) {
      double sum = 0;
      for (std::int64_t c = 0; c < C; ++c) sum += x[i * C + c] * w1[c * D + d];
      h[i * D + d] = apply(a.hidden, sum);
    }
    for (std::int64_t c = 0; c < C2; ++c) {
      double sum = a.bias ? a.bias.as<double>()[c] : 0;
      for (std::int64_t d = 0; d < D; ++d) sum += h[i * D + d] * w2[d * C2 + c];
      y[i * C2 + c] = apply(a.out, sum);
    }
  }
}

void low_rank_backward(ExecContext& ctx, const LowRankArgs& a, const LowRankOuts& o,
                       const LowRankOutGrads& dout, const LowRankGrads& g) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.w1.shape[0], D = a.w1.shape[1], C2 = a.w2.shape[1], rows = a.x.numel() / C;
  const double *x = a.x.as<double>(), *w1 = a.w1.as<double>(), *w2 = a.w2.as<double>();
  const double *h = o.h.as<double>(), *y = o.y.as<double>(), *dy = dout.y.as<double>();
  const GradRef dx(g.x), dw1(g.w1), dw2(g.w2), dbias(g.bias);
  for (std::int64_t i = 0; i < rows; ++i) {
    std::vector<double> dh(static_cast<std::size_t>(D));
    for (std::int64_t c = 0; c < C2; ++c) {
      const double dz = dy[i * C2 + c] * slope(a.out, y[i * C2 + c]);
      dbias.add(c, dz);
      for (std::int64_t d = 0; d < D; ++d) {
        dw2.add(d * C2 + c, h[i * D + d] * dz);
        dh[static_cast<std::size_t>(d)] += dz * w2[d * C2 + c];
      }
    }
    for (std::int64_t d = 0; d < D; ++d) {
      const double dz = dh[static_cast<std::size_t>(d)] * slope(a.hidden, h[i * D + d]);
      for (std::int64_t c = 0; c < C; ++c) {
        dx.add(i * C + c, dz * w1[c * D + d]);
        dw1.add(c * D + d, x[i * C + c] * dz);
      }
    }
  }
}

}  // namespace rt::ref
