#include "rt/ops/linear.h"

#include "ops/ref/accumulate.h"

namespace rt::ref {

void linear_forward(ExecContext& ctx, const LinearArgs& a, const LinearOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t M = a.weight.shape[0], K = a.weight.shape[1], rows = a.x.numel() / K;
  const double *x = a.x.as<double>(), *w = a.weight.as<double>();
  double* y = o.y.as<double>();
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t m = 0; m < M; ++m) {
      double sum = 0;
      for (std::int64_t k = 0; k < K; ++k) sum += x[i * K + k] * w[m * K + k];
      y[i * M + m] = sum;
    }
  }
}

void linear_backward(ExecContext& ctx, const LinearArgs& a, const LinearOuts&, const LinearOutGrads& dout,
                     const LinearGrads& g) {
  if (ctx.dry_run) return;
  const std::int64_t M = a.weight.shape[0], K = a.weight.shape[1], rows = a.x.numel() / K;
  const double *x = a.x.as<double>(), *w = a.weight.as<double>(), *dy = dout.y.as<double>();
  const GradRef dx(g.x), dw(g.weight);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t m = 0; m < M; ++m) {
      for (std::int64_t k = 0; k < K; ++k) {
        dx.add(i * K + k, dy[i * M + m] * w[m * K + k]);
        dw.add(m * K + k, dy[i * M + m] * x[i * K + k]);
      }
    }
  }
}

}  // namespace rt::ref
