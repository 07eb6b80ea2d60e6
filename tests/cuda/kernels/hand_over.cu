#include "cuda/device.h"
#include "tests/cuda/kernels.h"

namespace rt::cuda::testing {
namespace {

constexpr int kThreads = 64;

// Warp 0 makes a number for each lane, all warps use it, twice.
template <Fault F>
__global__ void producer_warp_kernel(float* out) {
  RT_SHARED(float, made, [kWarpSize]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize;
  float sum = 0;
  for (int round = 1; round <= 2; ++round) {
    if (thread < kWarpSize) made[lane] = static_cast<float>(round * (lane + 1));
    if (F != Fault::NoBarrierBeforeConsumers) __syncthreads();
    sum = 100 * sum + made[lane];
    if (F != Fault::NoBarrierBeforeNextRound) __syncthreads();
  }
  out[thread] = sum;
}

template <Fault F>
__global__ void neighbour_lane_kernel(float* out) {
  RT_SHARED(float, slot, [kThreads]);
  const int thread = static_cast<int>(threadIdx.x);
  if (F != Fault::NeverWritten || thread != 5) slot[thread] = static_cast<float>(thread);
  if (F != Fault::NoSyncwarp) __syncwarp();
  out[thread] = slot[thread ^ 1];
}

__global__ void chain_kernel(float* out) {
  out[blockIdx.x] = blockIdx.x == 0 ? 1.0f : out[blockIdx.x - 1] + 1;
}

}  // namespace

std::vector<float> chain_of_blocks() {
  std::vector<float> out(9);
  RT_LAUNCH(chain_kernel, dim3(9), dim3(1), 0, nullptr, out.data());
  return out;
}

std::vector<float> hand_over(Fault fault) {
  std::vector<float> out(2 * kThreads);
  const auto producer =
      fault == Fault::NoBarrierBeforeConsumers   ? producer_warp_kernel<Fault::NoBarrierBeforeConsumers>
      : fault == Fault::NoBarrierBeforeNextRound ? producer_warp_kernel<Fault::NoBarrierBeforeNextRound>
                                                 : producer_warp_kernel<Fault::None>;
  const auto neighbour = fault == Fault::NoSyncwarp     ? neighbour_lane_kernel<Fault::NoSyncwarp>
                         : fault == Fault::NeverWritten ? neighbour_lane_kernel<Fault::NeverWritten>
                                                        : neighbour_lane_kernel<Fault::None>;
  RT_LAUNCH(producer, dim3(1), dim3(kThreads), 0, nullptr, out.data());
  RT_LAUNCH(neighbour, dim3(1), dim3(kThreads), 0, nullptr, out.data() + kThreads);
  return out;
}

}  // namespace rt::cuda::testing
