#include "rt/ops/slice_state.h"

namespace rt::ref {

void affine_state(ExecContext& ctx, const AffineStateArgs& a, const AffineStateOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t N = o.state.shape.back();
  for (std::int64_t e = 0; e < o.state.numel(); ++e) {
    const std::int64_t head = e / (N * N) * N * N, i = e / N % N, j = e % N;
    double sum = a.shift ? a.shift.as<double>()[e] : i == j ? 1.0 : 0.0;
    for (std::int64_t n = 0; a.state && n < N; ++n)
      sum += a.state.as<double>()[head + i * N + n] *
             a.map.as<double>()[head + (a.transposed ? j * N + n : n * N + j)];
    o.state.as<double>()[e] = sum;
  }
}

}  // namespace rt::ref
