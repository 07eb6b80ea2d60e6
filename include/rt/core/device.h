#pragma once
#include <cstdint>
#include <string>

namespace rt {

enum class DeviceKind : std::uint8_t { Cpu, Cuda };

struct Device {
  DeviceKind kind = DeviceKind::Cpu;
  int index = 0;
  static Device cpu() { return {DeviceKind::Cpu, 0}; }
  static Device cuda(int i) { return {DeviceKind::Cuda, i}; }
  friend bool operator==(Device, Device) = default;
};

std::string to_string(Device device);  // "cpu", "cuda:0"

// 0 when CUDA is not compiled in, there is no driver, or no device.
int cuda_device_count() noexcept;
bool built_with_cuda() noexcept;

// "auto" takes cuda:0 where a device is there, else the CPU; "cpu", "cuda", "cuda:1" ask for one.
// Throws Exit::Config when what was asked for is not there.
Device parse_device(const std::string& text);

}  // namespace rt
