#include "rt/core/device.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "rt/core/buffer.h"
#include "rt/core/device_api.h"
#include "rt/core/error.h"

namespace rt {
namespace {

void* cpu_alloc(int, std::size_t bytes, void*) {
  void* ptr = std::aligned_alloc(kAlignment, padded_bytes(bytes));
  if (!ptr)
    fail(Exit::Memory, "cpu: cannot allocate {} bytes. Lower batch.micro_sequences or data.seq_len.", bytes);
  return ptr;
}

constexpr DeviceApi kCpuApi = {
    .count = []() noexcept { return 1; },
    .alloc = cpu_alloc,
    .free = [](int, void* ptr, std::size_t, void*) noexcept { std::free(ptr); },
    .copy = [](void* to, const void* from, std::size_t bytes, void*) { std::memmove(to, from, bytes); },
    .fill = [](void* to, int byte, std::size_t bytes, void*) { std::memset(to, byte, bytes); },
    .stream_create = [](int) -> void* { return nullptr; },
    .stream_destroy = [](void*) noexcept {},
    .stream_synchronize = [](void*) {},
    .event_record = [](void*) -> void* { return nullptr; },
    .event_wait = [](void*, void*) {},
    .event_synchronize = [](void*) {},
    .event_query = [](void*) { return true; },
    .event_destroy = [](void*) noexcept {},
    .synchronize = [](int) {},
    .free_memory = [](int) { return std::numeric_limits<std::size_t>::max(); },
};

const DeviceApi* cuda_api() noexcept { return cuda::device_api_table ? cuda::device_api_table() : nullptr; }

}  // namespace

const DeviceApi& device_api(DeviceKind kind) {
  if (kind == DeviceKind::Cpu) return kCpuApi;
  const DeviceApi* api = cuda_api();
  if (!api)
    fail(Exit::Config, "device: this build has no CUDA backend. Use device: cpu, or build the cuda preset.");
  return *api;
}

int cuda_device_count() noexcept {
  const DeviceApi* api = cuda_api();
  return api ? api->count() : 0;
}

bool built_with_cuda() noexcept { return cuda_api() != nullptr; }

std::string to_string(Device device) {
  return device.kind == DeviceKind::Cpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

Device parse_device(const std::string& text) {
  if (text == "cpu") return Device::cpu();
  if (text == "auto") return cuda_device_count() > 0 ? Device::cuda(0) : Device::cpu();
  int index = 0;
  if (text.starts_with("cuda:")) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 5, end, index);
    if (error != std::errc() || stop != end || index < 0) index = -1;
  } else if (text != "cuda") {
    index = -1;
  }
  if (index < 0) fail(Exit::Config, "device: \"{}\" is not a device. Use auto, cpu, cuda or cuda:N.", text);
  if (!built_with_cuda()) device_api(DeviceKind::Cuda);
  const int count = cuda_device_count();
  if (count == 0 && cuda::device_problem) fail(Exit::Config, "device: {}: {}.", text, cuda::device_problem());
  if (index >= count)
    fail(Exit::Config, "device: {} asked for, but this machine has {} CUDA devices.", text, count);
  return Device::cuda(index);
}

}  // namespace rt
