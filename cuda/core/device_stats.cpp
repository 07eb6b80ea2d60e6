#include "rt/core/device_stats.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nvtx3/nvToolsExt.h>

#include <array>
#include <cstdio>
#include <string>

#include "cuda/core/check.h"
#include "cuda/core/rates.h"

namespace rt::cuda {
namespace {

// The driver's management library, looked up while running: it comes with the driver and not with the
// toolkit, and a run does not depend on it.
class Management {
 public:
  using Handle = struct OpaqueDevice*;

  explicit Management(int index) {
    library_ = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!library_) return;
    std::array<char, 32> bus{};
    const auto init = find<int()>("nvmlInit_v2");
    const auto open = find<int(const char*, Handle*)>("nvmlDeviceGetHandleByPciBusId_v2");
    if (!init || !open || init() != 0) return;
    if (cudaDeviceGetPCIBusId(bus.data(), bus.size(), index) != cudaSuccess) return;
    if (open(bus.data(), &device_) != 0) device_ = nullptr;
  }

  void read(DeviceStats& stats) const {
    if (!device_) return;
    constexpr int kSmClock = 1, kMemoryClock = 2, kGpuTemperature = 0;
    const auto clock = find<int(Handle, int, unsigned*)>("nvmlDeviceGetClockInfo");
    const auto power = find<int(Handle, unsigned*)>("nvmlDeviceGetPowerUsage");
    const auto temperature = find<int(Handle, int, unsigned*)>("nvmlDeviceGetTemperature");
    const auto reasons = find<int(Handle, unsigned long long*)>("nvmlDeviceGetCurrentClocksThrottleReasons");
    unsigned milliwatts = 0;
    unsigned long long mask = 0;
    if (clock) clock(device_, kSmClock, &stats.sm_mhz);
    if (clock) clock(device_, kMemoryClock, &stats.memory_mhz);
    if (power && power(device_, &milliwatts) == 0) stats.watts = milliwatts / 1000.0;
    if (temperature) temperature(device_, kGpuTemperature, &stats.celsius);
    if (reasons && reasons(device_, &mask) == 0) stats.throttled = describe(mask);
  }

 private:
  // Bits of the management library's "clocks event reasons"; idle (1) and chosen clocks (2) are no
  // throttling.
  static std::string describe(unsigned long long mask) {
    std::string text;
    const auto add = [&](unsigned long long bits, const char* name) {
      if ((mask & bits) != 0) text += (text.empty() ? "" : " ") + std::string(name);
    };
    add(0x4 | 0x80, "power");
    add(0x20 | 0x40, "thermal");
    add(0x8, "hardware");
    add(0x10, "sync");
    return text;
  }

  template <class Function>
  Function* find(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(library_, name));
  }

  void* library_ = nullptr;  // never closed: until the process ends
  Handle device_ = nullptr;
};

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string uuid_text(const cudaUUID_t& id) {
  std::string text = "GPU";
  for (int i = 0; i < 16; ++i) {
    char hex[8];
    const bool begins = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
    std::snprintf(hex, sizeof hex, "%s%02x", begins ? "-" : "", static_cast<unsigned char>(id.bytes[i]));
    text += hex;
  }
  return text;
}

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  RT_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, index));
  return value;
}

// Dense bf16 FLOPs with f32 sums, per multiprocessor and clock.
double bf16_flops_per_clock(int major, int minor) {
  switch (major * 10 + minor) {
    case 80: return 2048;
    case 86:
    case 89:
    case 120: return 512;
    case 90: return 4096;
    case 100:
    case 103: return 8192;
    default: return 0;
  }
}

}  // namespace

DeviceStats device_stats(int index) {
  DeviceStats stats;
  std::size_t free = 0;
  RT_CUDA_CHECK(cudaMemGetInfo(&free, &stats.memory_total));
  stats.memory_used = stats.memory_total - free;
  static const Management management(index);
  management.read(stats);
  return stats;
}

DeviceInfo device_info(int index) {
  DeviceInfo info;
  cudaDeviceProp properties{};
  RT_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  info.name = properties.name;
  info.uuid = uuid_text(properties.uuid);
  info.major = properties.major;
  info.minor = properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  int number = 0;
  RT_CUDA_CHECK(cudaDriverGetVersion(&number));
  info.driver = version(number);
  RT_CUDA_CHECK(cudaRuntimeGetVersion(&number));
  info.runtime = version(number);
  return info;
}

DeviceRates matmul_rates(int index, DType dtype) {
  const DeviceInfo info = device_info(index);
  const double hertz = 1e3 * attribute(cudaDevAttrClockRate, index);
  const double per_clock = dtype == DType::BF16                 ? bf16_flops_per_clock(info.major, info.minor)
                           : info.major * 10 + info.minor == 80 ? 128
                                                                : 256;  // f32: 64 or 128 lanes
  return {per_clock * hertz * info.multiprocessors, measure_matmul_flops(dtype, index)};
}

double copy_bytes_per_s(int index) { return measure_copy_bytes_per_s(index); }

double elapsed_seconds(void* stream, const std::function<void()>& run) {
  const auto queue = static_cast<cudaStream_t>(stream);
  cudaEvent_t begin = nullptr, end = nullptr;
  RT_CUDA_CHECK(cudaEventCreate(&begin));
  RT_CUDA_CHECK(cudaEventCreate(&end));
  RT_CUDA_CHECK(cudaEventRecord(begin, queue));
  run();
  RT_CUDA_CHECK(cudaEventRecord(end, queue));
  RT_CUDA_CHECK(cudaEventSynchronize(end));
  float milliseconds = 0;
  RT_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
  RT_CUDA_CHECK_NOTHROW(cudaEventDestroy(begin));
  RT_CUDA_CHECK_NOTHROW(cudaEventDestroy(end));
  return static_cast<double>(milliseconds) * 1e-3;
}

void range_push(const char* name) noexcept { nvtxRangePushA(name); }
void range_pop() noexcept { nvtxRangePop(); }

}  // namespace rt::cuda
