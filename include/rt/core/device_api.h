#pragma once
#include <cstddef>

#include "rt/core/device.h"

namespace rt {

// What a device must offer to own memory and order work. Plain function pointers, so that src/ never names a
// CUDA symbol: the CUDA table comes through RT_CUDA(...) and is null in a CPU-only build. `stream` and
// `event` are opaque native handles (null on the CPU, where everything is synchronous).
struct DeviceApi {
  int (*count)() noexcept;
  void* (*alloc)(int index, std::size_t bytes, void* stream);  // 256-byte aligned; throws Exit::Memory
  void (*free)(int index, void* ptr, std::size_t bytes, void* stream) noexcept;
  void (*copy)(void* to, const void* from, std::size_t bytes, void* stream);  // any direction
  void (*fill)(void* to, int byte, std::size_t bytes, void* stream);
  void* (*stream_create)(int index);
  void (*stream_destroy)(void* stream) noexcept;
  void (*stream_synchronize)(void* stream);
  void* (*event_record)(void* stream);
  void (*event_wait)(void* stream, void* event);
  void (*event_destroy)(void* event) noexcept;
};

const DeviceApi& device_api(DeviceKind kind);  // throws Exit::Config when this build has no such backend

}  // namespace rt
