#pragma once
#include "cuda/ops/wkv7_chunk.cuh"

// The matrices that couple the tokens of one chunk, and products with the state in backward.
namespace rt::cuda::wkv7_impl {

// c = X Y' of two tiles [token][channel], by one warp.
template <int N>
__device__ __forceinline__ void pair_products(const bf16_t* x, const bf16_t* y, float (&c)[2][4]) {
  clear(c);
#pragma unroll
  for (int i = 0; i < N; i += 16) {
    unsigned fa[4], fb[4];
    load_a(fa, x + i, kLd<N>);
    load_b(fb, y + i, kLd<N>);
    multiply(c[0], c[1], fa, fb);
  }
}

// Aqk, Aqb, Aak and Aab, one by each of the first four warps.
template <int N, bool Raw>
__device__ __forceinline__ void make_scores(const Operands<N, Raw>& x, const Starts& starts,
                                            const Scores& out, float* ab) {
  const int warp = warp_id(), lane = lane_id();
  if (warp >= 4) return;
  const bf16_t *left = warp < 2 ? x.q : x.a, *right = warp % 2 == 0 ? x.k : x.b;
  float c[2][4];
  pair_products<N>(left, right, c);
  bf16_t* to = warp == 0 ? out.qk : warp == 1 ? out.qb : out.ak;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int t = lane / 4 + i % 2 * 8, j = i / 2 * 8 + lane % 4 * 2;
    float x0 = c[i / 2][i % 2 * 2], x1 = c[i / 2][i % 2 * 2 + 1];
    const int limit = warp < 2 ? t : t - 1;  // the last j that counts
    if (j > limit || !starts.joined(t, j)) x0 = 0;
    if (j + 1 > limit || !starts.joined(t, j + 1)) x1 = 0;
    if (warp < 3) {
      put2(to + t * kPairLd + j, x0, x1);
    } else {
      ab[j * kAbLd + t] = x0;
      ab[(j + 1) * kAbLd + t] = x1;
    }
  }
}

// The same for a steep chunk, where only differences of logarithms are safe.
template <int N, bool Raw>
__device__ __noinline__ void make_steep_scores(RawTile<N> raw, const float* sum, Starts starts, Scores out,
                                               float* ab) {
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kTokens; i += 2 * N) {
    const int t = i / kTokens, j = i % kTokens;
    float qk = 0, qb = 0, ak = 0, a_b = 0;
    if (j <= t && starts.joined(t, j)) {
      for (int c = 0; c < N; ++c) {
        const float from = sum[j * kFloatLd<N> + c];
        const float k = to_float(raw.k()[j * kLd<N> + c]), b = to_float(raw.b()[j * kLd<N> + c]);
        const float r = to_float(raw.r()[t * kLd<N> + c]) * exp2_fast(sum[t * kFloatLd<N> + c] - from);
        qk += r * k;
        qb += r * b;
        if (j == t) continue;
        const float a = to_float(raw.a()[t * kLd<N> + c]) * exp2_fast(sum[(t - 1) * kFloatLd<N> + c] - from);
        ak += a * k;
        a_b += a * b;
      }
    }
    out.qk[t * kPairLd + j] = from_float<bf16_t>(qk);
    out.qb[t * kPairLd + j] = from_float<bf16_t>(qb);
    out.ak[t * kPairLd + j] = from_float<bf16_t>(ak);
    ab[j * kAbLd + t] = a_b;
  }
}

// inv = (I - Aab)^-1 by forward substitution in f32, a column per lane. By one warp. (The product
// (I + A)(I + A^2)... is exact too but loses all digits when successive keys are alike.)
__device__ __forceinline__ void invert(const float* ab, bf16_t* inv) {
  const int column = lane_id() % kTokens;
  float x[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) x[t] = t == column ? 1.0f : 0.0f;
#pragma unroll
  for (int j = 0; j + 1 < kTokens; ++j) {
#pragma unroll
    for (int t = (j + 1) / 4 * 4; t < kTokens; t += 4) {
      const float4 m = *reinterpret_cast<const float4*>(ab + j * kAbLd + t);
      const float e[4] = {m.x, m.y, m.z, m.w};
#pragma unroll
      for (int u = 0; u < 4; ++u) {
        if (t + u > j) x[t + u] += e[u] * x[j];
      }
    }
  }
  if (lane_id() < kTokens) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) inv[t * kPairLd + column] = from_float<bf16_t>(x[t]);
  }
}

// to [token][key] = X M for the warp's 16 keys; X [token][value], M [value][key].
template <int N>
__device__ __forceinline__ void products_with_state(const bf16_t* x0, const bf16_t* x1, const bf16_t* m,
                                                    float* to0, float* to1) {
  const int key = warp_id() * 16;
  float c0[2][4], c1[2][4];
  clear(c0);
  clear(c1);
#pragma unroll
  for (int i = 0; i < N; i += 16) {
    unsigned fb[4], fa[4];
    load_b_transposed(fb, m + i * kLd<N> + key, kLd<N>);
    load_a(fa, x0 + i, kLd<N>);
    multiply(c0[0], c0[1], fa, fb);
    load_a(fa, x1 + i, kLd<N>);
    multiply(c1[0], c1[1], fa, fb);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int at = (lane_id() / 4 + i % 2 * 8) * kFloatLd<N> + key + i / 2 * 8 + lane_id() % 4 * 2;
    *reinterpret_cast<float2*>(to0 + at) = make_float2(c0[i / 2][i % 2 * 2], c0[i / 2][i % 2 * 2 + 1]);
    *reinterpret_cast<float2*>(to1 + at) = make_float2(c1[i / 2][i % 2 * 2], c1[i / 2][i % 2 * 2 + 1]);
  }
}

// dAqk = tril(dY V'), dAqb = tril(dY U'), dAak = tril(dX V', -1), dAab = tril(dX U', -1), one by each of the
// first four warps.
template <int N>
__device__ __forceinline__ void score_gradients(const bf16_t* dy, const bf16_t* dx, const bf16_t* v,
                                                const bf16_t* u, const Starts& starts, float4* out) {
  const int warp = warp_id(), lane = lane_id();
  if (warp >= 4) return;
  const bf16_t *left = warp < 2 ? dy : dx, *right = warp % 2 == 0 ? v : u;
  float c[2][4];
  pair_products<N>(left, right, c);
  float* to = reinterpret_cast<float*>(out) + warp;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int t = lane / 4 + i / 2 % 2 * 8, j = i / 4 * 8 + lane % 4 * 2 + i % 2;
    const bool counts = j <= (warp < 2 ? t : t - 1) && starts.joined(t, j);
    to[(t * kTokens + j) * 4] = counts ? c[i / 4][i % 4] : 0;
  }
}

// The sums over values of x y, both tiles [value][key], in four parts (4, N).
template <int N>
__device__ __forceinline__ void column_sums(const bf16_t* x, const bf16_t* y, float* out) {
  const int warp = warp_id(), lane = lane_id();
  if (warp >= 4) return;
#pragma unroll
  for (int key = 2 * lane; key < N; key += 64) {
    float2 sum = make_float2(0, 0);
#pragma unroll 4
    for (int i = warp * (N / 4); i < (warp + 1) * (N / 4); ++i) {
      const float2 s = get2(x + i * kLd<N> + key), d = get2(y + i * kLd<N> + key);
      sum.x += s.x * d.x;
      sum.y += s.y * d.y;
    }
    *reinterpret_cast<float2*>(out + warp * N + key) = sum;
  }
}

}  // namespace rt::cuda::wkv7_impl
