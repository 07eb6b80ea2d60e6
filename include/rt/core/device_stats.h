#pragma once
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "rt/core/device_api.h"
#include "rt/core/dtype.h"

namespace rt {

// How a device is doing, for metrics. What the driver does not tell is 0.
struct DeviceStats {
  std::size_t memory_used = 0, memory_total = 0;  // bytes, of all processes
  unsigned sm_mhz = 0, memory_mhz = 0;
  double watts = 0;
  unsigned celsius = 0;
  std::string throttled;  // why clocks are held down, e.g. "power thermal"; empty when they are not
};

// What a device's matrix units could do and what they do, in FLOP/s.
struct DeviceRates {
  double nominal = 0;   // from the data sheet's figures: clock, multiprocessors, architecture; 0: unknown
  double measured = 0;  // the library's own large product, timed here
};

struct DeviceInfo {
  std::string name;          // "NVIDIA H200"
  std::string uuid;          // "GPU-8f2c...": of this one, in all the world
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::string driver, runtime;  // versions of CUDA: what the driver supports, what this build uses
};

namespace cuda {
RT_CUDA DeviceStats device_stats(int index);
RT_CUDA DeviceInfo device_info(int index);
RT_CUDA DeviceRates matmul_rates(int index, DType dtype);  // takes up to a second
RT_CUDA double copy_bytes_per_s(int index);                // read plus written
// Device time of the work that `run` gives to the stream; waits for it.
RT_CUDA double elapsed_seconds(void* stream, const std::function<void()>& run);
RT_CUDA void range_push(const char* name) noexcept;  // NVTX
RT_CUDA void range_pop() noexcept;
}  // namespace cuda

// A named span of host time in a profiler's timeline; nothing without the CUDA backend.
class ProfileRange {
 public:
  explicit ProfileRange(const char* name) {
    if (cuda::range_push) cuda::range_push(name);
  }
  ~ProfileRange() {
    if (cuda::range_pop) cuda::range_pop();
  }
  ProfileRange(const ProfileRange&) = delete;
  ProfileRange& operator=(const ProfileRange&) = delete;
};

}  // namespace rt
