#pragma once
#include "cuda/device.h"

// Reductions whose order depends on the shape of the launch only, so that runs repeat to the bit.
namespace rt::cuda {

// Over all 32 lanes, which all call; every lane has the result, bit for bit the same.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kFullMask, x, offset);
  return x;
}

// A NaN is passed over, as by fmaxf, unless every lane has one.
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    x = fmaxf(x, __shfl_xor_sync(kFullMask, x, offset));
  return x;
}

// Sums of K values over the Threads threads of a block with one row of threads, which all call; every thread
// has the results, bit for bit the same. Ends with a barrier, so that calls may follow each other.
template <int Threads, class T, int K>
__device__ __forceinline__ void block_sum(T (&x)[K]) {
  static_assert(Threads % kWarpSize == 0 && Threads <= 1024, "whole warps of one block");
#pragma unroll
  for (int k = 0; k < K; ++k) x[k] = warp_sum(x[k]);
  if constexpr (Threads > kWarpSize) {
    constexpr int kWarps = Threads / kWarpSize;
    RT_SHARED(T, parts, [kWarps][K]);
    if (threadIdx.x % kWarpSize == 0) {
#pragma unroll
      for (int k = 0; k < K; ++k) parts[threadIdx.x / kWarpSize][k] = x[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; ++k) {
      x[k] = parts[0][k];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) x[k] += parts[w][k];
    }
    __syncthreads();
  }
}

template <int Threads, class T>
__device__ __forceinline__ T block_sum(T x) {
  T one[1] = {x};
  block_sum<Threads>(one);
  return one[0];
}

}  // namespace rt::cuda
