#include "cuda/core/reduce.cuh"
#include "cuda/core/vec.cuh"
#include "tests/cuda/kernels.h"

namespace rt::cuda::testing {
namespace {

constexpr int kVoters = 40, kOperations = 16;

// The second warp has 8 lanes.
__global__ void warp_operations_kernel(std::int64_t* out) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize;
  int row = 0;
  const auto put = [&](std::int64_t value) { out[row++ * kVoters + thread] = value; };
  put(__shfl_sync(kFullMask, thread, 3));
  put(__shfl_sync(kFullMask, thread, 5, 4));
  put(__shfl_up_sync(kFullMask, thread, 2u, 8));
  put(__shfl_down_sync(kFullMask, thread, 3u, 8));
  put(__shfl_xor_sync(kFullMask, thread, 4));
  put(static_cast<std::int64_t>(__shfl_xor_sync(kFullMask, static_cast<double>(thread) + 0.5, 1) * 2));
  put(__ballot_sync(kFullMask, lane % 3 == 0));
  put(__any_sync(kFullMask, thread == 33));
  put(__all_sync(kFullMask, thread >= 32));
  put(__syncthreads_count(lane < 5));
  put(__syncthreads_or(thread == 39));
  put(__syncthreads_and(thread != 39));
  // Halves of a warp at the same time, with different numbers of operations.
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  int sum = lane;
  for (int offset = 1; offset < 16; offset *= 2) {
    if (thread < kWarpSize) sum += __shfl_xor_sync(half, sum, offset);
  }
  put(sum);
  put(__popc(half) + __clz(lane + 1) + __ffs(lane) + min(lane, 3) + max(lane, 4));
  put(thread < kWarpSize ? warp_sum(lane) : 0);
  put(thread < kWarpSize ? static_cast<std::int64_t>(warp_max(static_cast<float>(-lane))) : 0);
}

// The last thread takes what is left over.
template <class T, int N>
__global__ void copy_vec_kernel(const T* x, T* y, int n) {
  const int at = static_cast<int>(threadIdx.x) * N, count = n - at;
  float values[N];
  if (count >= N) {
    load_vec(x + at, values);
    store_vec(y + at, values);
  } else if (count > 0) {
    load_tail(x + at, count, values);
    store_tail(y + at, count, values);
  }
}

template <class T, class Storage>
std::vector<Storage> copy(const std::vector<Storage>& x, int N) {
  std::vector<Storage> y(x.size(), Storage(0.0f));
  const auto run = [&](auto kernel) {
    RT_LAUNCH(kernel, dim3(1), dim3(64), 0, nullptr, reinterpret_cast<const T*>(x.data()),
              reinterpret_cast<T*>(y.data()), static_cast<int>(x.size()));
  };
  if (N == 1) run(copy_vec_kernel<T, 1>);
  if (N == 2) run(copy_vec_kernel<T, 2>);
  if (N == 4) run(copy_vec_kernel<T, 4>);
  if (N == 8) run(copy_vec_kernel<T, 8>);
  if (N == 16) run(copy_vec_kernel<T, 16>);
  return y;
}

constexpr int kSumThreads = 96;

__global__ void sum_last_block_kernel(const float* x, std::int64_t n, double* parts, unsigned* finished,
                                      double* out) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kSumThreads;
  double sum = 0;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kSumThreads + threadIdx.x; i < n; i += stride)
    sum += x[i];
  sum = block_sum<kSumThreads>(sum);
  if (threadIdx.x != 0) return;
  parts[blockIdx.x] = sum;
  __threadfence();
  if (atomicAdd(finished, 1u) != gridDim.x - 1) return;
  __threadfence();
  double total = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) total += parts[b];
  *out = total;
}

__global__ void flat_indices_kernel(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned at = block * blockDim.x * blockDim.y * blockDim.z + thread;
  out[at] = static_cast<int>(at);
}

}  // namespace

std::vector<std::int64_t> warp_operations(int& operations) {
  operations = kOperations;
  std::vector<std::int64_t> out(kOperations * kVoters);
  RT_LAUNCH(warp_operations_kernel, dim3(1), dim3(kVoters), 0, nullptr, out.data());
  return out;
}

std::vector<float> copy_float(const std::vector<float>& x, int N) { return copy<float>(x, N); }
std::vector<bf16> copy_bf16(const std::vector<bf16>& x, int N) { return copy<__nv_bfloat16>(x, N); }

double sum_by_last_block(const std::vector<float>& x) {
  constexpr unsigned kBlocks = 7;
  std::vector<double> parts(kBlocks);
  unsigned finished = 0;
  double out = 0;
  RT_LAUNCH(sum_last_block_kernel, dim3(kBlocks), dim3(kSumThreads), 0, nullptr, x.data(),
            static_cast<std::int64_t>(x.size()), parts.data(), &finished, &out);
  return out;
}

std::vector<int> flat_indices() {
  std::vector<int> out(12 * 12, -1);
  RT_LAUNCH(flat_indices_kernel, dim3(2, 3, 2), dim3(3, 2, 2), 0, nullptr, out.data());
  return out;
}

}  // namespace rt::cuda::testing
