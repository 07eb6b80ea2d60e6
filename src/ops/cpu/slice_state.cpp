#include "rt/ops/slice_state.h"

#include <algorithm>

#include "rt/core/parallel.h"

namespace rt::cpu {

// A row of a state at a time: each is a row vector that the map is applied to.
void affine_state(ExecContext& ctx, const AffineStateArgs& a, const AffineStateOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t N = o.state.shape.back();
  parallel_for(o.state.numel() / N, 16, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) {
      float* const out = o.state.as<float>() + row * N;
      if (a.shift) {
        std::copy_n(a.shift.as<float>() + row * N, N, out);
      } else {
        std::fill_n(out, N, 0.0f);
        out[row % N] = 1;
      }
      if (!a.state) continue;
      const float* const in = a.state.as<float>() + row * N;
      const float* const map = a.map.as<float>() + row / N * N * N;
      for (std::int64_t n = 0; n < N; ++n) {
        if (a.transposed) {
          float sum = 0;
          for (std::int64_t j = 0; j < N; ++j) sum += in[j] * map[n * N + j];
          out[n] += sum;
        } else {
          for (std::int64_t j = 0; j < N; ++j) out[j] += in[n] * map[n * N + j];
        }
      }
    }
  });
}

}  // namespace rt::cpu
