#pragma once
#include <cstddef>
#include <string>

#include "rt/core/device.h"

// Declares a function of the CUDA backend. Its address is null in a program that is linked without the
// backend, so that tables may name it and linking alone decides what a program can run on: the same objects
// make the CPU-only programs, the CUDA ones, and the tests that run the kernels on the CPU.
#define RT_CUDA [[gnu::weak]]

namespace rt {

// What a device must offer to own memory and order work. `stream` and `event` are opaque native handles (null
// on the CPU, where everything is synchronous).
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
  void (*event_synchronize)(void* event);  // the host waits
  bool (*event_query)(void* event);        // it has been reached; does not wait
  void (*event_destroy)(void* event) noexcept;
  void (*synchronize)(int index);         // waits for everything given to the device
  std::size_t (*free_memory)(int index);  // bytes; the CPU does not know: see rt/train/machine.h
};

namespace cuda {
RT_CUDA const DeviceApi* device_api_table() noexcept;
// Why there is no CUDA device, in one line ("the driver is too old: ..."); empty when there is one.
RT_CUDA std::string device_problem();
// Page-locked host memory: copies between it and a device overlap with kernels, and so does whatever the host
// does meanwhile; it may be reused only after the stream of the copy has been waited for. Zero-filled.
RT_CUDA void* pinned_alloc(std::size_t bytes);  // throws Exit::Memory
RT_CUDA void pinned_free(void* ptr) noexcept;
}  // namespace cuda

const DeviceApi& device_api(DeviceKind kind);  // throws Exit::Config when this build has no such backend

}  // namespace rt
