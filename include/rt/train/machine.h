#pragma once
#include <cstddef>
#include <string>

#include "rt/core/device.h"
#include "rt/core/dtype.h"

namespace rt {

// What speed is measured against: the machine's own matrix product, as fast as its library does it.
struct Yardstick {
  const char* name;    // "sgemm", or "matmul" in the compute dtype
  double flops = 0;    // per second, measured; 0: unknown
  double nominal = 0;  // per second, by the data sheet; 0: unknown, as on the CPU
};
Yardstick measure_yardstick(Device device, DType compute);

std::size_t rss_bytes();       // of this process, now
std::size_t peak_rss_bytes();  // of this process, so far
std::size_t
available_memory_bytes();  // what a new allocation may use: the system's, or the cgroup's limit if lower
std::string human_bytes(double bytes);  // "3.1 GiB"
std::string human_count(double n);      // "191.1M"
std::string human_seconds(double s);    // "1h02m", "3m20s", "12s"

}  // namespace rt
