#pragma once
// All that a kernel includes of the device: launch, shared memory, warp matrix operations, asynchronous
// copies. nvcc builds it on PTX; with RT_CUDA_EMULATION a C++ compiler builds the same kernels for the CPU,
// and the host twins check what the device would leave undefined (see cuda/emulation/runtime.h).
//
// Rules that make a kernel run in both, and right in both:
//  - Shared memory is RT_SHARED or Smem; launches are RT_LAUNCH or launch(); no asm in a kernel.
//  - No early return before a later barrier or warp operation of the same block or warp.
//  - No lockstep within a warp is assumed: __syncwarp() after an exchange through shared memory, and all 32
//    lanes at ldmatrix, mma and movmatrix.
//  - No block waits for another. Offsets into tensors are 64-bit.
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef RT_CUDA_EMULATION
#ifdef __CUDACC__
#error "RT_CUDA_EMULATION is for host compilers"
#endif
#include "cuda/emulation/device_twin.h"
#else
#ifndef __CUDACC__
#error "cuda/device.h needs nvcc, or a host compiler with RT_CUDA_EMULATION"
#endif
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "cuda/core/launch.cuh"
#include "cuda/core/mma.cuh"
#include "cuda/core/wgmma.cuh"
#endif

namespace rt::cuda {

constexpr int kWarpSize = 32;
constexpr unsigned kFullMask = 0xffffffffu;

// What Smem::take<T>(n) uses; a launch asks for the sum over its takes.
template <class T>
__host__ __device__ constexpr std::size_t smem_bytes(std::size_t n) {
  return (n * sizeof(T) + 15) / 16 * 16;
}

// bf16 pairs as the registers of mma hold them: lo in the lower half.
__device__ __forceinline__ unsigned pack2(__nv_bfloat16 lo, __nv_bfloat16 hi) {
  const __nv_bfloat162 pair(lo, hi);
  unsigned bits;
  memcpy(&bits, &pair, sizeof(bits));
  return bits;
}

// Rounds to nearest even.
__device__ __forceinline__ unsigned pack2(float lo, float hi) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(lo, hi);
  unsigned bits;
  memcpy(&bits, &pair, sizeof(bits));
  return bits;
}

__device__ __forceinline__ float2 unpack2(unsigned bits) {
  return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u));
}

}  // namespace rt::cuda

#ifndef RT_CUDA_EMULATION

// RT_SHARED(T, name, dims): a shared array, RT_SHARED(float, tile, [16][72]). 16-byte aligned, uninitialised,
// the same array for all threads of a block; one per instantiation in a template.
#define RT_SHARED(T, name, dims) __shared__ __align__(16) T name dims

namespace rt::cuda {

// The dynamic shared memory of a launch, cut into arrays aligned to 16 bytes, the first to 1024. Every thread
// makes one Smem and takes the same arrays in the same order.
class Smem {
 public:
  template <class T>
  __device__ __forceinline__ T* take(std::size_t n) {
    extern __shared__ __align__(1024) unsigned char rt_dynamic_shared[];
    T* const array = reinterpret_cast<T*>(rt_dynamic_shared + used_);
    used_ += static_cast<unsigned>(smem_bytes<T>(n));
    return array;
  }

 private:
  unsigned used_ = 0;
};

// 2^x, 1/x: one instruction each, about 2 ulp; denormal arguments and results are zero.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float rcp_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// A vector access at p is a trap on the device unless p is a multiple of `bytes`; the emulation checks that.
__device__ __forceinline__ void assume_vector_access(const void*, std::size_t) {}

}  // namespace rt::cuda

#endif
