#pragma once
#include <type_traits>

#include "cuda/device.h"

// Storage types (float, __nv_bfloat16) in memory, float in registers.
namespace rt::cuda {

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

// Rounds to nearest even.
template <class T>
__device__ __forceinline__ T from_float(float x) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, __nv_bfloat16>, "a storage type");
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    return __float2bfloat16_rn(x);
  }
}

namespace detail {
template <int Bytes>
struct Chunk;
template <>
struct Chunk<2> {
  using Type = unsigned short;
};
template <>
struct Chunk<4> {
  using Type = unsigned;
};
template <>
struct Chunk<8> {
  using Type = uint2;
};
template <>
struct Chunk<16> {
  using Type = uint4;
};

// N elements in as few accesses as possible, of up to 16 bytes each.
template <class T, int N>
struct Vector {
  static constexpr int kBytes = N * static_cast<int>(sizeof(T));
  static constexpr int kChunk = kBytes < 16 ? kBytes : 16;
  static_assert(kBytes % kChunk == 0 && (kChunk & (kChunk - 1)) == 0, "N elements are not whole vectors");
  using Access = typename Chunk<kChunk>::Type;
  static constexpr int kCount = kBytes / kChunk;
};
}  // namespace detail

// out = the N elements of T in raw, an even number of them where T has 16 bits, as floats.
template <class T, class Raw, int N>
__device__ __forceinline__ void widen(const Raw& raw, float (&out)[N]) {
  static_assert(sizeof(Raw) == N * sizeof(T));
  if constexpr (std::is_same_v<T, float>) {
    memcpy(out, raw, sizeof(out));
  } else {
    unsigned pairs[N / 2];
    memcpy(pairs, raw, sizeof(pairs));
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      const float2 pair = unpack2(pairs[i]);
      out[2 * i] = pair.x;
      out[2 * i + 1] = pair.y;
    }
  }
}

// out = p[0..N) as floats. p is aligned to min(16, N * sizeof(T)) bytes.
template <class T, int N>
__device__ __forceinline__ void load_vec(const T* p, float (&out)[N]) {
  using V = detail::Vector<T, N>;
  assume_vector_access(p, V::kChunk);
  typename V::Access raw[V::kCount];
#pragma unroll
  for (int i = 0; i < V::kCount; ++i) raw[i] = reinterpret_cast<const typename V::Access*>(p)[i];
  if constexpr (std::is_same_v<T, float> || N % 2 == 0) {
    widen<T>(raw, out);
  } else {
    out[0] = to_float(*p);
  }
}

namespace detail {
// Words of 32 bits at p, as few integers: in larger kernels nvcc leaves the store of a struct of four in four
// parts.
template <int Count>
__device__ __forceinline__ void store_words(void* p, const unsigned (&words)[Count]) {
  constexpr int kEach = Count < 4 ? Count : 4;
  static_assert(Count % kEach == 0 && kEach != 3);
  using Whole = std::conditional_t<kEach == 4, unsigned __int128,
                                   std::conditional_t<kEach == 2, std::uint64_t, unsigned>>;
#pragma unroll
  for (int i = 0; i < Count; i += kEach) {
    Whole whole = 0;
#pragma unroll
    for (int j = 0; j < kEach; ++j) whole |= static_cast<Whole>(words[i + j]) << (32 * j);
    static_cast<Whole*>(p)[i / kEach] = whole;
  }
}
}  // namespace detail

// p[0..N) = in, rounded to nearest even. Alignment as for load_vec.
template <class T, int N>
__device__ __forceinline__ void store_vec(T* p, const float (&in)[N]) {
  assume_vector_access(p, detail::Vector<T, N>::kChunk);
  if constexpr (std::is_same_v<T, float>) {
    unsigned words[N];
#pragma unroll
    for (int i = 0; i < N; ++i) words[i] = __float_as_uint(in[i]);
    detail::store_words(p, words);
  } else if constexpr (N % 2 == 0) {
    unsigned pairs[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) pairs[i] = pack2(in[2 * i], in[2 * i + 1]);
    detail::store_words(p, pairs);
  } else {
    *p = from_float<T>(in[0]);
  }
}

// The first `count` elements of N, one by one, of any alignment; the rest of out is `fill`, of p untouched.
template <class T, int N>
__device__ __forceinline__ void load_tail(const T* p, int count, float (&out)[N], float fill = 0) {
#pragma unroll
  for (int i = 0; i < N; ++i) out[i] = i < count ? to_float(p[i]) : fill;
}
template <class T, int N>
__device__ __forceinline__ void store_tail(T* p, int count, const float (&in)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (i < count) p[i] = from_float<T>(in[i]);
  }
}

template <class T>
__device__ __forceinline__ void load8(const T* p, float (&out)[8]) {
  load_vec(p, out);
}
template <class T>
__device__ __forceinline__ void store8(T* p, const float (&in)[8]) {
  store_vec(p, in);
}

}  // namespace rt::cuda
