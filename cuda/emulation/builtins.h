#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/emulation/runtime.h"

// What CUDA C++ has without a header and the toolkit's headers lack on the host. There is no atomicAdd for
// floating point: no sum may depend on the order of threads.
#ifndef __launch_bounds__
#define __launch_bounds__(...)
#endif
#ifndef __noinline__
#define __noinline__  // empty, as libstdc++ writes it inside __attribute__(())
#endif
#ifndef __maxnreg__
#define __maxnreg__(...)
#endif

#define RT_EMU_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()

// Barriers and votes -----------------------------------------------------------------------------------

inline void __syncthreads(RT_EMU_AT) {
  rt::cuda::emu::barrier(rt::cuda::emu::Combine::None, false, "__syncthreads", {file, line});
}
inline int __syncthreads_or(int predicate, RT_EMU_AT) {
  return rt::cuda::emu::barrier(rt::cuda::emu::Combine::Or, predicate != 0, "__syncthreads_or", {file, line});
}
inline int __syncthreads_and(int predicate, RT_EMU_AT) {
  return rt::cuda::emu::barrier(rt::cuda::emu::Combine::And, predicate != 0, "__syncthreads_and",
                                {file, line});
}
inline int __syncthreads_count(int predicate, RT_EMU_AT) {
  return rt::cuda::emu::barrier(rt::cuda::emu::Combine::Count, predicate != 0, "__syncthreads_count",
                                {file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, RT_EMU_AT) {
  rt::cuda::emu::syncwarp(mask, {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, RT_EMU_AT) {
  return rt::cuda::emu::ballot(mask, predicate != 0, "__ballot_sync", {file, line});
}
inline int __any_sync(unsigned mask, int predicate, RT_EMU_AT) {
  return rt::cuda::emu::ballot(mask, predicate != 0, "__any_sync", {file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, RT_EMU_AT) {
  return rt::cuda::emu::ballot(mask, predicate == 0, "__all_sync", {file, line}) == 0;
}

// An exchange with one place orders all fences, as ThreadSanitizer understands too.
namespace rt::cuda::emu {
inline std::atomic<int> fences{0};
}
inline void __threadfence() { rt::cuda::emu::fences.fetch_add(1); }
inline void __threadfence_block() { __threadfence(); }

// Shuffles ---------------------------------------------------------------------------------------------

namespace rt::cuda::emu {
template <class T>
T shuffle_of(unsigned mask, T value, int source, const char* what, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(mask, bits, source, what, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
inline int segment_begin(int width) { return lane_index() / width * width; }
}  // namespace rt::cuda::emu

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, RT_EMU_AT) {
  const int from = rt::cuda::emu::segment_begin(width) + (source & (width - 1));
  return rt::cuda::emu::shuffle_of(mask, value, from, "__shfl_sync", {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, RT_EMU_AT) {
  const int lane = rt::cuda::emu::lane_index(), from = lane - static_cast<int>(delta);
  return rt::cuda::emu::shuffle_of(mask, value, from < rt::cuda::emu::segment_begin(width) ? lane : from,
                                   "__shfl_up_sync", {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, RT_EMU_AT) {
  const int lane = rt::cuda::emu::lane_index(), from = lane + static_cast<int>(delta);
  return rt::cuda::emu::shuffle_of(mask, value,
                                   from < rt::cuda::emu::segment_begin(width) + width ? from : lane,
                                   "__shfl_down_sync", {file, line});
}
// A source in a higher segment is the lane itself, one in a lower segment is taken.
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, RT_EMU_AT) {
  const int lane = rt::cuda::emu::lane_index(), from = lane ^ lane_mask;
  return rt::cuda::emu::shuffle_of(mask, value,
                                   from < rt::cuda::emu::segment_begin(width) + width ? from : lane,
                                   "__shfl_xor_sync", {file, line});
}

// Memory -----------------------------------------------------------------------------------------------

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> value) {
  *p = value;
}
template <class T>
void __stcg(T* p, std::type_identity_t<T> value) {
  *p = value;
}

inline int atomicAdd(int* p, int x) { return std::atomic_ref(*p).fetch_add(x); }
inline unsigned atomicAdd(unsigned* p, unsigned x) { return std::atomic_ref(*p).fetch_add(x); }
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long x) {
  return std::atomic_ref(*p).fetch_add(x);
}
float atomicAdd(float*, float) = delete;
double atomicAdd(double*, double) = delete;
inline int atomicExch(int* p, int x) { return std::atomic_ref(*p).exchange(x); }
inline unsigned atomicExch(unsigned* p, unsigned x) { return std::atomic_ref(*p).exchange(x); }
inline int atomicOr(int* p, int x) { return std::atomic_ref(*p).fetch_or(x); }
inline unsigned atomicOr(unsigned* p, unsigned x) { return std::atomic_ref(*p).fetch_or(x); }

// Arithmetic -------------------------------------------------------------------------------------------

#define RT_EMU_MIN_MAX(T)                             \
  constexpr T min(T a, T b) { return b < a ? b : a; } \
  constexpr T max(T a, T b) { return a < b ? b : a; }
RT_EMU_MIN_MAX(int)
RT_EMU_MIN_MAX(unsigned)
RT_EMU_MIN_MAX(long)
RT_EMU_MIN_MAX(unsigned long)
RT_EMU_MIN_MAX(long long)
RT_EMU_MIN_MAX(unsigned long long)
#undef RT_EMU_MIN_MAX
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }

inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frsqrt_rn(float x) { return static_cast<float>(1 / std::sqrt(static_cast<double>(x))); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }  // NaN is 0
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }

inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) {
  const float2 x = __bfloat1622float2(a), y = __bfloat1622float2(b), z = __bfloat1622float2(c);
  return __floats2bfloat162_rn(std::fma(x.x, y.x, z.x), std::fma(x.y, y.y, z.y));
}
inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
  return __float2bfloat16_rn(std::fma(__bfloat162float(a), __bfloat162float(b), __bfloat162float(c)));
}

[[noreturn]] inline void __trap(RT_EMU_AT) { rt::cuda::emu::trap({file, line}); }

#undef RT_EMU_AT
