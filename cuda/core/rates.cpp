#include "cuda/core/rates.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <vector>

#include "cuda/core/check.h"
#include "cuda/core/gemm.h"
#include "rt/core/buffer.h"
#include "rt/core/device_api.h"

namespace rt::cuda {
namespace {

constexpr int kWarmUp = 3, kRuns = 10;

class Timer {
 public:
  explicit Timer(const Stream& stream) : stream_(static_cast<cudaStream_t>(stream.native())) {
    RT_CUDA_CHECK(cudaEventCreate(&begin_));
    RT_CUDA_CHECK(cudaEventCreate(&end_));
  }
  ~Timer() {
    RT_CUDA_CHECK_NOTHROW(cudaEventDestroy(begin_));
    RT_CUDA_CHECK_NOTHROW(cudaEventDestroy(end_));
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Device seconds of the fastest of kRuns calls.
  template <class Submit>
  double best(const Submit& submit) const {
    double seconds = 1e30;
    for (int run = -kWarmUp; run < kRuns; ++run) {
      RT_CUDA_CHECK(cudaEventRecord(begin_, stream_));
      submit();
      RT_CUDA_CHECK(cudaEventRecord(end_, stream_));
      RT_CUDA_CHECK(cudaEventSynchronize(end_));
      float milliseconds = 0;
      RT_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin_, end_));
      if (run >= 0) seconds = std::min(seconds, static_cast<double>(milliseconds) * 1e-3);
    }
    return seconds;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// Values in [-1, 1): multiplying constants takes less power than data does, and runs at a higher clock.
template <class T>
void fill_random(const TensorView& to) {
  std::vector<T> values(static_cast<std::size_t>(to.numel()));
  std::uint32_t state = 1;
  for (T& value : values) {
    state = state * 1664525u + 1013904223u;
    value = T(static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
  }
  device_api(to.device.kind).copy(to.data, values.data(), to.nbytes(), nullptr);
}

}  // namespace

double measure_matmul_flops(DType dtype, int index) {
  const std::int64_t n = dtype == DType::BF16 ? 8192 : 4096;
  const Device device = Device::cuda(index);
  Workspace plan(device, Impl::Cuda);
  const TensorView shape_only = plan.ctx().saved.alloc({n, n}, dtype, "rate");
  matmul(plan.ctx(), shape_only, shape_only, true, shape_only, false);

  Workspace live(device, Impl::Cuda, 0, plan.scratch().high_water(), 0);
  const Tensor x({n, n}, dtype, device), w({n, n}, dtype, device), y({n, n}, dtype, device);
  for (const TensorView& view : {x.view, w.view}) {
    dtype == DType::BF16 ? fill_random<bf16>(view) : fill_random<float>(view);
  }
  const Timer timer(live.ctx().stream);
  const auto size = static_cast<double>(n);
  return 2 * size * size * size /
         timer.best([&] { matmul(live.ctx(), x.view, w.view, true, y.view, false); });
}

double measure_copy_bytes_per_s(int index) {
  constexpr std::size_t kBytes = std::size_t{1} << 29;
  const Device device = Device::cuda(index);
  const Stream stream(device);
  const Buffer from(device, kBytes), to(device, kBytes);
  const DeviceApi& api = device_api(DeviceKind::Cuda);
  api.fill(from.data(), 1, kBytes, nullptr);
  const Timer timer(stream);
  return 2 * static_cast<double>(kBytes) /
         timer.best([&] { api.copy(to.data(), from.data(), kBytes, stream.native()); });
}

}  // namespace rt::cuda
