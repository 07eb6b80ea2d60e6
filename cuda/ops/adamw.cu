#include "rt/ops/adamw.h"

#include "cuda/ops/piece.cuh"
#include "rt/core/philox.h"

// One pass: reads grad, m, v and master, writes m, v, master and the copy, and nothing twice. Division and
// square root round correctly and denormals are kept, as nvcc compiles them by default: neither -ftz=true nor
// -use_fast_math may be given to this file.
namespace rt::cuda {
namespace {

constexpr int kThreads = 256, kPiece = 4;

struct Constants {
  float beta1, gain1, beta2, gain2, eps, decay;
  double lr_scale;
  std::int64_t begin;
};

// Moments as they are kept: in bf16 one of the two numbers around each, which storing then leaves as it is.
template <class M>
__device__ __forceinline__ void round_moments(const Rng& rng, std::int64_t i, float (&m)[kPiece],
                                              float (&v)[kPiece]) {
  if constexpr (std::is_same_v<M, __nv_bfloat16>) {
    const PhiloxBlock random = philox(rng.seed, rng.stream, static_cast<std::uint64_t>(i) / kPiece);
#pragma unroll
    for (int j = 0; j < kPiece; ++j) {
      m[j] = round_stochastic(m[j], random.word[j] & 0xffffu);
      v[j] = round_stochastic(v[j], random.word[j] >> 16);
    }
  }
}

// M is the storage type of moments; copy is null when the compute values are the master's memory.
template <class M, bool Aligned>
__global__ void __launch_bounds__(kThreads)
    adamw_kernel(float* master, M* m_at, M* v_at, const float* grad, __nv_bfloat16* copy,
                 const StepScalars* scalars, Constants k, std::int64_t n) {
  if (scalars->halted != 0) return;
  const float grad_scale = scalars->grad_scale, unbias1 = 1.0f / scalars->bias1,
              unbias2 = 1.0f / scalars->bias2;
  const float rate = static_cast<float>(static_cast<double>(scalars->lr) * k.lr_scale);
  const Rng rounding = scalars->rounding;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads * kPiece;
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPiece; i < n;
       i += stride) {
    const std::int64_t left = n - i;
    Piece<float, kPiece, Aligned> g_in, p_in;
    Piece<M, kPiece, Aligned> m_in, v_in;
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
    round_moments<M>(rounding, k.begin + i, m, v);
    store_piece<Aligned>(m_at + i, left, m);
    store_piece<Aligned>(v_at + i, left, v);
    store_piece<Aligned>(master + i, left, p);
    if (copy) store_piece<Aligned>(copy + i, left, p);
  }
}

template <class M>
void update(ExecContext& ctx, const AdamwArgs& a, const Constants& k) {
  const std::int64_t n = a.master.numel();
  __nv_bfloat16* copy = a.value.data == a.master.data ? nullptr : device_ptr<__nv_bfloat16>(a.value);
  const bool aligned = n % kPiece == 0 && all_aligned({&a.master, &a.m, &a.v, &a.grad, &a.value});
  const auto kernel = aligned ? adamw_kernel<M, true> : adamw_kernel<M, false>;
  launch("adamw_kernel", kernel, capped_grid(n, kThreads * kPiece), dim3(kThreads), 0, stream_of(ctx),
         a.master.as<float>(), device_ptr<M>(a.m), device_ptr<M>(a.v), a.grad.as<float>(), copy, a.scalars, k,
         n);
}

}  // namespace

void adamw(ExecContext& ctx, const AdamwArgs& a) {
  if (ctx.dry_run || a.master.numel() == 0) return;
  const Constants k{static_cast<float>(a.beta1),
                    static_cast<float>(1 - a.beta1),
                    static_cast<float>(a.beta2),
                    static_cast<float>(1 - a.beta2),
                    static_cast<float>(a.eps),
                    static_cast<float>(a.weight_decay),
                    a.lr_scale,
                    a.begin};
  dispatch_storage(a.m.dtype, [&]<class M>(M*) { update<M>(ctx, a, k); });
}

}  // namespace rt::cuda
