#pragma once
#include "cuda/ops/wkv7.cuh"

// A row (value index i) or column (key index j) of a head's N x N matrix in the registers of Parts
// neighbouring lanes, Count elements each. Groups of four are dealt out in turn, so that the lanes read
// neighbouring 16 bytes of shared memory. Elements from N on are zero. Loops over tokens and over what a tile
// holds are not unrolled: what they do for a token is long enough, and compiling them took minutes.
namespace rt::cuda::wkv7_impl {

template <int Count, int Parts>
struct Lane {
  static constexpr int kWidth = Count * Parts;
  // Tokens staged in shared memory at a time.
  static constexpr int kTile = Parts > 4 ? 1 : Parts == 1 ? 8 : 16 / Parts;
  static constexpr int kThreads = Parts > 4 ? 256 : 64 * Parts;
  static constexpr int kLines = kThreads / Parts;  // rows or columns of one block
  int line, part;
  __device__ Lane()
      : line(static_cast<int>(threadIdx.x) / Parts), part(static_cast<int>(threadIdx.x) % Parts) {}

  __device__ __forceinline__ int element(int i) const { return (i / 4 * Parts + part) * 4 + i % 4; }

  // The four chains of a sum, then the lanes, always in the same order.
  __device__ __forceinline__ static float total(const float (&sum)[4]) {
    float s = (sum[0] + sum[1]) + (sum[2] + sum[3]);
#pragma unroll
    for (int m = 1; m < Parts; m *= 2) s += __shfl_xor_sync(0xffffffffu, s, m);
    return s;
  }
  __device__ __forceinline__ float4 quad(const float* x, int i) const {
    return *reinterpret_cast<const float4*>(x + (i * Parts + part) * 4);
  }
  __device__ __forceinline__ float dot(const float (&S)[Count], const float* x) const {
    float sum[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < Count / 4; ++i) {
      const float4 q = quad(x, i);
      sum[0] += S[4 * i] * q.x;
      sum[1] += S[4 * i + 1] * q.y;
      sum[2] += S[4 * i + 2] * q.z;
      sum[3] += S[4 * i + 3] * q.w;
    }
    return total(sum);
  }
  // S = S * d + c * x
  __device__ __forceinline__ void decay_and_add(float (&S)[Count], const float* d, float c,
                                                const float* x) const {
#pragma unroll
    for (int i = 0; i < Count / 4; ++i) {
      const float4 e = quad(d, i), q = quad(x, i);
      S[4 * i] = S[4 * i] * e.x + c * q.x;
      S[4 * i + 1] = S[4 * i + 1] * e.y + c * q.y;
      S[4 * i + 2] = S[4 * i + 2] * e.z + c * q.z;
      S[4 * i + 3] = S[4 * i + 3] * e.w + c * q.w;
    }
  }
  __device__ __forceinline__ void add(float (&S)[Count], float c, const float* x) const {
#pragma unroll
    for (int i = 0; i < Count / 4; ++i) {
      const float4 q = quad(x, i);
      S[4 * i] += c * q.x;
      S[4 * i + 1] += c * q.y;
      S[4 * i + 2] += c * q.z;
      S[4 * i + 3] += c * q.w;
    }
  }
  __device__ __forceinline__ static void zero(float (&S)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; ++i) S[i] = 0;
  }
  // Element e of the line is at from[e * stride]. Lines from N on, and null, are zero.
  __device__ __forceinline__ void load(float (&S)[Count], const float* from, std::int64_t stride, int N,
                                       bool live) const {
#pragma unroll
    for (int i = 0; i < Count; ++i)
      S[i] = live && from && (N == kWidth || element(i) < N) ? from[element(i) * stride] : 0;
  }
  __device__ __forceinline__ void store(const float (&S)[Count], float* to, std::int64_t stride, int N,
                                        bool live) const {
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      if (live && (N == kWidth || element(i) < N)) to[element(i) * stride] = S[i];
    }
  }
};

// What tokens have over keys, in shared memory: widened, the decay made, elements from N on zero.
template <class L>
struct KeyTile {
  static constexpr int kEach = L::kTile * L::kWidth, kFloats = 5 * kEach;
  float* base;
  __device__ explicit KeyTile(Smem& sm) : base(sm.take<float>(kFloats)) {}
  // (kTile, kWidth) each
  __device__ __forceinline__ float* r() const { return base; }
  __device__ __forceinline__ float* d() const { return base + kEach; }
  __device__ __forceinline__ float* k() const { return base + 2 * kEach; }
  __device__ __forceinline__ float* a() const { return base + 3 * kEach; }
  __device__ __forceinline__ float* b() const { return base + 4 * kEach; }
  template <class T>
  __device__ __forceinline__ void load(const Inputs<T>& in, int head, std::int64_t t0, int count) const {
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < count * L::kWidth; i += L::kThreads) {
      const int j = i % L::kWidth;
      const std::int64_t at = in.first(head) + (t0 + i / L::kWidth) * in.C + j;
      const bool has = j < in.N;
      r()[i] = has ? to_float(in.r[at]) : 0;
      d()[i] = has ? exp2f(decay_of(to_float(in.w[at]), in.raw).log2) : 0;
      k()[i] = has ? to_float(in.k[at]) : 0;
      a()[i] = has ? to_float(in.a[at]) : 0;
      b()[i] = has ? to_float(in.b[at]) : 0;
    }
  }
};

// Calls g with the Count and Parts for head size N. Narrow: more threads per head, for single tokens.
template <bool Narrow, class G>
void dispatch_lanes(std::int64_t N, const G& g) {
  if (N <= 16) return g.template operator()<16, 1>();
  if constexpr (Narrow) {
    if (N <= 32) return g.template operator()<16, 2>();
    if (N <= 64) return g.template operator()<16, 4>();
    if (N <= 128) return g.template operator()<16, 8>();
    return g.template operator()<16, 16>();
  } else {
    if (N <= 32) return g.template operator()<32, 1>();
    if (N <= 64) return g.template operator()<64, 1>();
    if (N <= 128) return g.template operator()<64, 2>();
    return g.template operator()<64, 4>();
  }
}

}  // namespace rt::cuda::wkv7_impl
