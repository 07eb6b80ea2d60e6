#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "rt/core/dtype.h"
#include "rt/core/error.h"

// One native register of float lanes with the compiler's vector extensions (g++ keeps wider vectors in
// memory). Kernels are templates over the storage type (float, bf16); arithmetic is float.
namespace rt::simd {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif
using vf = float __attribute__((vector_size(4 * kLanes)));
using vi = std::int32_t __attribute__((vector_size(4 * kLanes)));
using vu = std::uint32_t __attribute__((vector_size(4 * kLanes)));
using vh = std::uint16_t __attribute__((vector_size(2 * kLanes)));

inline vf splat(float x) { return x - vf{}; }  // unlike x + 0, foldable: it keeps -0
inline vf load(const float* p) {
  vf v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void store(float* p, vf v) { std::memcpy(p, &v, sizeof(v)); }
inline vf load(const bf16* p) {
  vh h;
  std::memcpy(&h, p, sizeof(h));
  return std::bit_cast<vf>(__builtin_convertvector(h, vu) << 16);
}
inline void store(bf16* p, vf v) {
  const vu u = std::bit_cast<vu>(v);
  const vu rounded = (u + (0x7fffu + ((u >> 16) & 1u))) >> 16;
  const vu nan = (u >> 16) | 0x40u;
  const vh h = __builtin_convertvector((v != v) ? nan : rounded, vh);
  std::memcpy(p, &h, sizeof(h));
}
// The first n lanes (0 < n < kLanes); the rest reads as zero and is not written.
template <class T>
vf load_n(const T* p, std::int64_t n) {
  T part[kLanes] = {};
  std::memcpy(part, p, static_cast<std::size_t>(n) * sizeof(T));
  return load(part);
}
template <class T>
void store_n(T* p, vf v, std::int64_t n) {
  T part[kLanes];
  store(part, v);
  std::memcpy(p, part, static_cast<std::size_t>(n) * sizeof(T));
}
// Chooses full or partial by how much is left: for (c = 0; c < C; c += kLanes) load_tail(p + c, C - c).
template <class T>
vf load_tail(const T* p, std::int64_t left) {
  return left >= kLanes ? load(p) : load_n(p, left);
}
template <class T>
void store_tail(T* p, vf v, std::int64_t left) {
  if (left >= kLanes) {
    store(p, v);
  } else {
    store_n(p, v, left);
  }
}

inline vf max(vf a, vf b) { return a > b ? a : b; }
inline vf min(vf a, vf b) { return a < b ? a : b; }
#if __has_builtin(__builtin_shufflevector)
#define RT_SHUFFLE(mask, p, q, ...) __builtin_shufflevector(p, q, __VA_ARGS__)
#else
#define RT_SHUFFLE(mask, p, q, ...) __builtin_shuffle(p, q, mask{__VA_ARGS__})  // g++ 11
#endif

template <int Shift, std::size_t... I>
vf rotate(vf v, std::index_sequence<I...>) {
  return RT_SHUFFLE(vi, v, v, static_cast<int>((I + Shift) % kLanes)...);
}
inline float sum(vf v) {  // a fixed tree, by halves
  constexpr auto lanes = std::make_index_sequence<kLanes>();
  if constexpr (kLanes > 8) v += rotate<8>(v, lanes);
  if constexpr (kLanes > 4) v += rotate<4>(v, lanes);
  v += rotate<2>(v, lanes);
  return v[0] + v[1];
}

// exp with relative error below 2e-7 on [-87, 88]; clamps outside (never 0, never inf).
inline vf exp(vf x) {
  x = min(max(x, splat(-87.3f)), splat(88.3f));
  const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const vf n = (x * 1.44269504088896341f + magic) - magic;
  vf r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  vf p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const vi exponent = (__builtin_convertvector(n, vi) + 127) << 23;
  return p * std::bit_cast<vf>(exponent);
}
inline vf sigmoid(vf x) { return 1.0f / (1.0f + exp(-x)); }
// tanh with small relative error near 0 as well.
inline vf tanh(vf x) {
  const vf z = x * x;
  vf p = splat(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const vf small = p * z * x + x;
  const vf large = 1.0f - 2.0f / (exp(2.0f * x) + 1.0f);
  return ((x < 0.625f) & (x > -0.625f)) ? small : large;
}

// Calls f with a value of the storage type behind dtype: dispatch_storage(x.dtype, [&]<class T>(T) { ... });
template <class F>
void dispatch_storage(DType dtype, F f) {
  if (dtype == DType::F32) return f(float{});
  if (dtype == DType::BF16) return f(bf16{});
  fail(Exit::Failure, "cpu kernels store f32 or bf16, not {}", name(dtype));
}

}  // namespace rt::simd
