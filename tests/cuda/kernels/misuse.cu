#include <stdexcept>

#include "cuda/core/vec.cuh"
#include "tests/cuda/kernels.h"

namespace rt::cuda::testing {
namespace {

constexpr int kThreads = 64;
constexpr std::size_t kShared = 1024;

__device__ void misuse_barriers(Fault f, int thread) {
  switch (f) {
    case Fault::DivergentBarrier:
      if (thread % kWarpSize < 16) __syncthreads();
      break;
    case Fault::DifferentBarriers:
      if (thread < kWarpSize) {
        __syncthreads();
      } else {
        __syncthreads();
      }
      break;
    case Fault::ReturnBeforeBarrier:
      if (thread != 0) __syncthreads();
      break;
    case Fault::BarrierAfterReturn:
      if (thread == kThreads - 1) __syncthreads();
      break;
    default: break;
  }
}

__device__ void misuse_warps(Fault f, int thread) {
  const int lane = thread % kWarpSize;
  switch (f) {
    case Fault::LaneSkipsShuffle:
      if (lane != 7) __shfl_xor_sync(kFullMask, lane, 1);
      break;
    case Fault::LanesDisagree:
      if (lane < 16) {
        __shfl_xor_sync(kFullMask, lane, 1);
      } else {
        __syncwarp();
      }
      break;
    case Fault::LaneOutsideMask: __syncwarp(0x0000ffffu); break;
    case Fault::MaskNamesReturned:
      if (lane >= 16) __syncwarp(lane == 31 ? kFullMask : 0xffff0000u);
      break;
    case Fault::WarpTooSmall: {
      // The launch has 40 threads.
      unsigned x = static_cast<unsigned>(lane);
      x = movmatrix_trans(x);
      break;
    }
    case Fault::Deadlock:
      // Lane 0 and the rest wait for each other in different places.
      __syncwarp(lane < 16 ? 0x0001ffffu : kFullMask);
      __syncwarp(lane < 16 ? kFullMask : 0x0001ffffu);
      break;
    default: break;
  }
}

__device__ void misuse_copies(Fault f, int thread, float* global) {
  Smem sm;
  float* const first = sm.take<float>(f == Fault::TakesDiffer && thread == 3 ? 16 : 32);
  float* const second = sm.take<float>(f == Fault::TakesTooMuch ? 1024 : 32);
  unsigned r[4];
  float values[4];
  switch (f) {
    case Fault::CopyNotWaitedFor:
      if (thread == 9) cp_async16(first, global);
      break;
    case Fault::CopyToGlobal: cp_async16(global, global + 4); break;
    case Fault::CopyMisaligned: cp_async16(first + 1, global); break;
    case Fault::RowMisaligned: ldmatrix_x4<false>(r, first + 2); break;
    case Fault::VectorMisaligned: load_vec(global + 1, values); break;
    case Fault::OverrunDynamic:
      if (thread == 0) first[32] = 1;
      if (thread == 0) second[0] = 1;
      break;
    default: break;
  }
}

#ifndef __CUDACC__  // more shared memory than a device has, and no exceptions there

// Large enough that two do not fit.
template <int Which>
__device__ float* large_array() {
  RT_SHARED(float, large, [8 * 1024]);
  return large;
}

__device__ void misuse_on_host(Fault f, int thread) {
  RT_SHARED(int, numbers, [16]);
  volatile int* const p = numbers;
  if (f == Fault::OverrunStatic && thread == 1) p[16] = 7;
  if (f == Fault::UnderrunStatic && thread == 1) p[-1] = 7;
  if (f == Fault::StaticTooLarge) {
    large_array<0>()[thread] = 0;
    large_array<1>()[thread] = 0;
  }
  if (f == Fault::Throws && thread == 2) throw std::logic_error("from a kernel");
}

#endif

__global__ void misuse_kernel(Fault f, float* global) {
  const int thread = static_cast<int>(threadIdx.x);
  misuse_barriers(f, thread);
  misuse_warps(f, thread);
  misuse_copies(f, thread, global);
#ifndef __CUDACC__
  misuse_on_host(f, thread);
#endif
  if (f == Fault::Trap && thread == 2) __trap();
}

__global__ void nothing_kernel() {}

#ifndef __CUDACC__
__global__ void nested_kernel() { RT_LAUNCH(nothing_kernel, dim3(1), dim3(1), 0, nullptr); }
#endif

}  // namespace

void launch_badly(BadLaunch how) {
  switch (how) {
    case BadLaunch::EmptyGrid: RT_LAUNCH(nothing_kernel, dim3(1, 0), dim3(1), 0, nullptr); break;
    case BadLaunch::TooManyThreads: RT_LAUNCH(nothing_kernel, dim3(1), dim3(205, 5), 0, nullptr); break;
    case BadLaunch::TooMuchShared: RT_LAUNCH(nothing_kernel, dim3(1), dim3(1), 100 * 1024, nullptr); break;
#ifndef __CUDACC__
    case BadLaunch::Nested: RT_LAUNCH(nested_kernel, dim3(1), dim3(1), 0, nullptr); break;
#endif
    default: break;
  }
}

void misuse(Fault fault) {
  alignas(16) float global[kThreads] = {};
  RT_LAUNCH(misuse_kernel, dim3(1), dim3(fault == Fault::WarpTooSmall ? 40 : kThreads), kShared, nullptr,
            fault, global);
}

}  // namespace rt::cuda::testing
