#pragma once
#include "cuda/ops/wkv7.cuh"

// The chunk-parallel kernels of wkv7 (Wind's form of the delta rule's WY representation): 16 tokens at a time
// become small matrix products in bf16 with f32 sums. With P_t the product of the chunk's decays up to token
// t, P-_t up to the token before, and rows as time,
//   Q = r P    A = a P-    K = k / P    B = b / P
//   Aqk = tril(Q K')   Aqb = tril(Q B')   Aak = tril(A K', -1)   Aab = tril(A B', -1)
//   Z = A S' + Aak V   U = (I - Aab)^-1 Z   (the rows of U are the sa_t)
//   Y = Q S' + Aqk V + Aqb U      S <- (S + V' K + U' B) P_last
// Where a chunk decays by more than 2^-kMaxRange, K and B would overflow: there ("steep") they are
// k P_last / P, S is decayed before it is added to, and the four matrices are summed one pair at a time.
// A document start inside the chunk masks the pairs it parts; tokens past the end do nothing (decay 1).
namespace rt::cuda::wkv7_impl {

using bf16_t = __nv_bfloat16;
constexpr int kTokens = 16;
constexpr int kPairLd = 24;                // of a 16 x 16 bf16 matrix: rows in different banks
constexpr float kMaxRange = 60;            // log2; products of two scaled rows and 16 terms stay below 2^127
static_assert(kWkv7Chunk == 2 * kTokens);  // two chunks lie between saved states

template <int N>
constexpr int kLd = N + 8;
template <int N>
constexpr int kFloatLd = N + 4;

// ---- fragments of mma.m16n8k16: lane = 4 g + q holds rows g, g + 8 and columns 2 q, 2 q + 1 ----
__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % 32; }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x) / 32; }

// A (16 x 16) from [m][k], or from [k][m].
__device__ __forceinline__ void load_a(unsigned (&f)[4], const bf16_t* x, int ld) {
  const int lane = lane_id();
  ldmatrix_x4<false>(f, x + lane % 16 * ld + lane / 16 * 8);
}
__device__ __forceinline__ void load_a_transposed(unsigned (&f)[4], const bf16_t* x, int ld) {
  const int lane = lane_id();
  ldmatrix_x4<true>(f, x + (lane % 8 + lane / 16 * 8) * ld + lane / 8 % 2 * 8);
}
// B (16 x 16: two tiles of n) from [n][k], or from [k][n]. Tile u is f[2 u], f[2 u + 1].
__device__ __forceinline__ void load_b(unsigned (&f)[4], const bf16_t* x, int ld) {
  const int lane = lane_id();
  ldmatrix_x4<false>(f, x + (lane % 8 + lane / 16 * 8) * ld + lane / 8 % 2 * 8);
}
__device__ __forceinline__ void load_b_transposed(unsigned (&f)[4], const bf16_t* x, int ld) {
  const int lane = lane_id();
  ldmatrix_x4<true>(f, x + lane % 16 * ld + lane / 16 * 8);
}
// c (16 x 16, as two tiles of columns) += A B
__device__ __forceinline__ void multiply(float (&c0)[4], float (&c1)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[4]) {
  mma_m16n8k16_bf16(c0, a, b[0], b[1]);
  mma_m16n8k16_bf16(c1, a, b[2], b[3]);
}
// The accumulators of a 16 x 16 product as A of the next one.
__device__ __forceinline__ void as_a(unsigned (&f)[4], const float (&c0)[4], const float (&c1)[4]) {
  f[0] = pack2(c0[0], c0[1]);
  f[1] = pack2(c0[2], c0[3]);
  f[2] = pack2(c1[0], c1[1]);
  f[3] = pack2(c1[2], c1[3]);
}
__device__ __forceinline__ void clear(float (&c)[2][4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) c[0][i] = c[1][i] = 0;
}
// Zeroes the columns of c, or of A, whose bit is not set.
__device__ __forceinline__ void keep_columns(float (&c)[2][4], unsigned bits) {
  const int first = lane_id() % 4 * 2;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if ((bits >> (first + i / 4 * 8 + i % 2) & 1u) == 0) c[i / 4][i % 4] = 0;
  }
}
__device__ __forceinline__ void keep_columns(unsigned (&f)[4], unsigned bits) {
  const unsigned low = bits >> (lane_id() % 4 * 2), high = low >> 8;
  const unsigned m0 = (low & 1u ? 0xffffu : 0u) | (low & 2u ? 0xffff0000u : 0u);
  const unsigned m1 = (high & 1u ? 0xffffu : 0u) | (high & 2u ? 0xffff0000u : 0u);
  f[0] &= m0;
  f[1] &= m0;
  f[2] &= m1;
  f[3] &= m1;
}
__device__ __forceinline__ float2 get2(const bf16_t* x) {
  return unpack2(*reinterpret_cast<const unsigned*>(x));
}
__device__ __forceinline__ void put2(bf16_t* to, float x, float y) {
  *reinterpret_cast<unsigned*>(to) = pack2(x, y);
}

// ---- document starts: bit t set where token t of the chunk begins one ----
struct Starts {
  unsigned bits;
  __device__ __forceinline__ bool any() const { return bits != 0; }
  // No start after token j up to token t, j <= t.
  __device__ __forceinline__ bool joined(int t, int j) const {
    return (bits >> (j + 1) & ((1u << (t - j)) - 1u)) == 0;
  }
  // Tokens that see the state before the chunk; tokens the state after it sees.
  __device__ __forceinline__ unsigned seeing() const {
    return bits == 0 ? 0xffffu : (bits & (0u - bits)) - 1u;
  }
  __device__ __forceinline__ unsigned seen() const {
    unsigned x = bits;
    x |= x >> 1;
    x |= x >> 2;
    x |= x >> 4;
    x |= x >> 8;
    return 0xffffu & ~(x >> 1);
  }
};
// One byte per lane, to be loaded early; and what the warp's lanes make of it.
template <class T>
__device__ __forceinline__ bool starts_here(const Inputs<T>& in, int head, std::int64_t t0) {
  const std::int64_t t = t0 + lane_id();
  return lane_id() < kTokens && t < in.T_ && in.is_reset(head, t);
}
__device__ __forceinline__ Starts starts_of(bool here) { return {__ballot_sync(0xffffffffu, here)}; }

// ---- tiles ----
// Starts copying 16 rows of N channels; rows from T on become zero. 2 N threads.
template <int N>
__device__ __forceinline__ void load_tile(bf16_t* to, const bf16_t* from, std::int64_t t0, std::int64_t T,
                                          std::int64_t C) {
  const int t = static_cast<int>(threadIdx.x) / (N / 8), c = static_cast<int>(threadIdx.x) % (N / 8) * 8;
  bf16_t* row = to + t * kLd<N> + c;
  if (from && t0 + t < T) {
    cp_async16(row, from + (t0 + t) * C + c);
  } else {
    *reinterpret_cast<uint4*>(row) = make_uint4(0, 0, 0, 0);
  }
}

// (16, N) bf16 each, as read, in one array.
template <int N>
struct RawTile {
  static constexpr int kSize = kTokens * kLd<N>;
  bf16_t* base;
  __device__ __forceinline__ bf16_t* r() const { return base; }
  __device__ __forceinline__ bf16_t* w() const { return base + kSize; }
  __device__ __forceinline__ bf16_t* k() const { return base + 2 * kSize; }
  __device__ __forceinline__ bf16_t* v() const { return base + 3 * kSize; }
  __device__ __forceinline__ bf16_t* a() const { return base + 4 * kSize; }
  __device__ __forceinline__ bf16_t* b() const { return base + 5 * kSize; }
  __device__ __forceinline__ bf16_t* dy() const { return base + 6 * kSize; }  // in backward
  __device__ __forceinline__ void load(const Inputs<bf16_t>& in, int head, std::int64_t t0) const {
    const std::int64_t first = in.first(head);
    load_tile<N>(r(), in.r + first, t0, in.T_, in.C);
    load_tile<N>(w(), in.w + first, t0, in.T_, in.C);
    load_tile<N>(k(), in.k + first, t0, in.T_, in.C);
    load_tile<N>(v(), in.v + first, t0, in.T_, in.C);
    load_tile<N>(a(), in.a + first, t0, in.T_, in.C);
    load_tile<N>(b(), in.b + first, t0, in.T_, in.C);
  }
};

// Q, A, K, B of a chunk, and what its decays come to.
template <int N, bool Raw>
struct Operands {
  bf16_t *q, *a, *k, *b;  // (16, N), in one array
  float* sum;             // (16, kFloatLd): log2 P
  float* last;            // (N): P_last
  float* part;            // (4, N): log2 of four tokens' decays
  static constexpr std::size_t kBytes =
      sizeof(bf16_t) * 4 * kTokens * kLd<N> + sizeof(float) * (kTokens * kFloatLd<N> + 5 * N);
  __device__ explicit Operands(Smem& sm) {
    q = sm.template take<bf16_t>(4 * kTokens * kLd<N>);
    a = q + kTokens * kLd<N>;
    k = a + kTokens * kLd<N>;
    b = k + kTokens * kLd<N>;
    sum = sm.template take<float>(kTokens * kFloatLd<N>);
    last = sm.template take<float>(N);
    part = sm.template take<float>(4 * N);
  }

  // All threads; needs a barrier before its results are read, and has one inside. Returns whether the chunk
  // is steep, the same for all.
  __device__ __forceinline__ bool make(const RawTile<N> x, int live_tokens) const {
    const int c = static_cast<int>(threadIdx.x) % (N / 2) * 2,
              group = static_cast<int>(threadIdx.x) / (N / 2);
    float2 log[4], before = make_float2(0, 0), total = make_float2(0, 0);
#pragma unroll
    for (int u = 0; u < 4; ++u) {
      const int t = 4 * group + u;
      const float2 w = get2(x.w() + t * kLd<N> + c);
      const bool live = t < live_tokens;
      log[u].x = (u > 0 ? log[u - 1].x : 0) + (live ? decay_fast(w.x, Raw).log2 : 0);
      log[u].y = (u > 0 ? log[u - 1].y : 0) + (live ? decay_fast(w.y, Raw).log2 : 0);
    }
    *reinterpret_cast<float2*>(part + group * N + c) = log[3];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 p = *reinterpret_cast<const float2*>(part + i * N + c);
      if (i == group) before = total;
      total.x += p.x;
      total.y += p.y;
    }
    const bool steep = Raw && is_steep();
    if (group == 0)
      *reinterpret_cast<float2*>(last + c) = make_float2(exp2_fast(total.x), exp2_fast(total.y));
    if (!steep) total = make_float2(0, 0);
    float2 decay = make_float2(exp2_fast(before.x), exp2_fast(before.y));
#pragma unroll
    for (int u = 0; u < 4; ++u) {
      const int at = (4 * group + u) * kLd<N> + c;
      const float2 g = make_float2(before.x + log[u].x, before.y + log[u].y);
      *reinterpret_cast<float2*>(sum + (4 * group + u) * kFloatLd<N> + c) = g;
      const float2 av = get2(x.a() + at), rv = get2(x.r() + at), kv = get2(x.k() + at), bv = get2(x.b() + at);
      put2(a + at, av.x * decay.x, av.y * decay.y);
      decay = make_float2(exp2_fast(g.x), exp2_fast(g.y));
      put2(q + at, rv.x * decay.x, rv.y * decay.y);
      const float2 up = make_float2(exp2_fast(total.x - g.x), exp2_fast(total.y - g.y));
      put2(k + at, kv.x * up.x, kv.y * up.y);
      put2(b + at, bv.x * up.x, bv.y * up.y);
    }
    return steep;
  }

 private:
  // Every warp looks at every channel, so that all agree without another barrier.
  __device__ __forceinline__ bool is_steep() const {
    bool steep = false;
#pragma unroll
    for (int c = 0; c < N; c += 32) {
      const float* p = part + c + lane_id();
      steep = steep || p[0] + p[N] + p[2 * N] + p[3 * N] < -kMaxRange;
    }
    return __ballot_sync(0xffffffffu, steep) != 0;
  }
};

// The 16 x 16 matrices [t][j] of a chunk; inv is (I - Aab)^-1.
struct Scores {
  bf16_t *qk, *qb, *ak, *inv;
  static constexpr int kSize = 4 * kTokens * kPairLd;
  __device__ __forceinline__ explicit Scores(bf16_t* base)
      : qk(base), qb(base + kSize / 4), ak(base + kSize / 2), inv(base + kSize / 4 * 3) {}
};
constexpr int kAbLd = 20;  // Aab is kept in f32, transposed: [j][t]

}  // namespace rt::cuda::wkv7_impl
