#include "rt/ops/adamw.h"

#include "cuda/ops/piece.cuh"

// One pass: reads grad, m, v and master, writes m, v, master and the copy, and nothing twice. Division and
// square root round correctly and denormals are kept, as nvcc compiles them by default: neither -ftz=true nor
// -use_fast_math may be given to this file.
namespace rt::cuda {
namespace {

constexpr int kThreads = 256, kPiece = 4;

struct Constants {
  float beta1, gain1, beta2, gain2, eps, decay;
  double lr_scale;
};

// copy is null when the compute values are the master's memory.
template <bool Aligned>
__global__ void __launch_bounds__(kThreads)
    adamw_kernel(float* master, float* m_at, float* v_at, const float* grad, __nv_bfloat16* copy,
                 const StepScalars* scalars, Constants k, std::int64_t n) {
  const float grad_scale = scalars->grad_scale, unbias1 = 1.0f / scalars->bias1,
              unbias2 = 1.0f / scalars->bias2;
  const float rate = static_cast<float>(static_cast<double>(scalars->lr) * k.lr_scale);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads * kPiece;
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPiece; i < n;
       i += stride) {
    const std::int64_t left = n - i;
    Piece<float, kPiece, Aligned> g_in, m_in, v_in, p_in;
    g_in.load(grad + i, left);
    m_in.load(m_at + i, left);
    v_in.load(v_at + i, left);
    p_in.load(master + i, left);
    float g[kPiece], m[kPiece], v[kPiece], p[kPiece];
    g_in.get(g);
    m_in.get(m);
    v_in.get(v);
    p_in.get(p);
#pragma unroll
    for (int j = 0; j < kPiece; ++j) {
      g[j] *= grad_scale;
      m[j] = m[j] * k.beta1 + g[j] * k.gain1;
      v[j] = v[j] * k.beta2 + g[j] * k.gain2 * g[j];
      p[j] -= (m[j] * unbias1 / (sqrtf(v[j] * unbias2) + k.eps) + p[j] * k.decay) * rate;
    }
    store_piece<Aligned>(m_at + i, left, m);
    store_piece<Aligned>(v_at + i, left, v);
    store_piece<Aligned>(master + i, left, p);
    if (copy) store_piece<Aligned>(copy + i, left, p);
  }
}

}  // namespace

void adamw(ExecContext& ctx, const AdamwArgs& a) {
  const std::int64_t n = a.master.numel();
  if (ctx.dry_run || n == 0) return;
  const Constants k{static_cast<float>(a.beta1),
                    static_cast<float>(1 - a.beta1),
                    static_cast<float>(a.beta2),
                    static_cast<float>(1 - a.beta2),
                    static_cast<float>(a.eps),
                    static_cast<float>(a.weight_decay),
                    a.lr_scale};
  __nv_bfloat16* copy = a.value.data == a.master.data ? nullptr : device_ptr<__nv_bfloat16>(a.value);
  const bool aligned = n % kPiece == 0 && all_aligned({&a.master, &a.m, &a.v, &a.grad, &a.value});
  const auto kernel = aligned ? adamw_kernel<true> : adamw_kernel<false>;
  launch("adamw_kernel", kernel, capped_grid(n, kThreads * kPiece), dim3(kThreads), 0, stream_of(ctx),
         a.master.as<float>(), a.m.as<float>(), a.v.as<float>(), a.grad.as<float>(), copy, a.scalars, k, n);
}

}  // namespace rt::cuda
