#include "rt/ops/slice_state.h"

#include "cuda/core/map.cuh"

namespace rt::cuda {
namespace {

constexpr int kThreads = 256;

// A thread per number of the result. Its maps are in the cache: a few heads' worth per block.
__global__ void __launch_bounds__(kThreads)
    affine_state_kernel(const float* state, const float* map, const float* shift, bool transposed,
                        std::int64_t count, int N, float* out) {
  const std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (e >= count) return;
  const int i = static_cast<int>(e / N % N), j = static_cast<int>(e % N);
  const std::int64_t head = e - static_cast<std::int64_t>(i) * N - j;
  float sum = shift ? shift[e] : i == j ? 1.0f : 0.0f;
  if (state) {
    const float* const row = state + head + static_cast<std::int64_t>(i) * N;
    const float* const to = map + head + (transposed ? static_cast<std::int64_t>(j) * N : j);
    for (int n = 0; n < N; ++n) sum += row[n] * to[transposed ? n : static_cast<std::int64_t>(n) * N];
  }
  out[e] = sum;
}

}  // namespace

void affine_state(ExecContext& ctx, const AffineStateArgs& a, const AffineStateOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t count = o.state.numel();
  RT_LAUNCH(affine_state_kernel, dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads)),
            dim3(kThreads), 0, stream_of(ctx), reinterpret_cast<const float*>(a.state.data),
            reinterpret_cast<const float*>(a.map.data), reinterpret_cast<const float*>(a.shift.data),
            a.transposed, count, static_cast<int>(o.state.shape.back()), o.state.as<float>());
}

}  // namespace rt::cuda
