// The host as a CUDA device: memory is the heap, work is done when the call returns. While a stream is being
// recorded, work for it is kept instead, and what CUDA does not allow then spoils the recording.
#include "rt/core/device_api.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "cuda/emulation/recorder.h"
#include "rt/core/error.h"

namespace rt::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

// Allocations that work of the device may name later than it is given: its own, and page-locked ones.
class Addresses {
 public:
  void add(const void* begin, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    live_[number(begin)] = bytes;
  }
  void remove(const void* begin) {
    const std::lock_guard lock(mutex_);
    live_.erase(number(begin));
  }
  bool contains(const void* p, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto next = live_.upper_bound(number(p));
    if (next == live_.begin()) return false;
    --next;
    const std::size_t offset = number(p) - next->first;
    return offset <= next->second && bytes <= next->second - offset;
  }

 private:
  static std::uintptr_t number(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

  std::mutex mutex_;
  std::map<std::uintptr_t, std::size_t> live_;  // begin -> bytes
};

// Never destroyed: buffers may be freed by static destructors.
Addresses& addresses() {
  static auto* const all = new Addresses;
  return *all;
}

// Contents start as 0xff, which is NaN in every floating format: a read before a write shows.
void* alloc(int index, std::size_t bytes, void*) {
  RT_CHECK(index == 0, "emulated cuda: device {} of 1", index);
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* ptr = std::aligned_alloc(kAlignment, rounded);
  if (!ptr) fail(Exit::Memory, "emulated cuda: cannot allocate {} bytes", bytes);
  std::memset(ptr, 0xff, rounded);
  addresses().add(ptr, bytes);
  return ptr;
}

void free(int, void* ptr, std::size_t, void*) noexcept {
  emu::spoil_all("memory of the device was freed");
  addresses().remove(ptr);
  std::free(ptr);
}

// Without a stream, work begins by waiting for the device.
void spoil_without_stream(void* stream, const char* what) {
  if (!stream) emu::spoil(nullptr, what);
}

void copy(void* to, const void* from, std::size_t bytes, void* stream) {
  spoil_without_stream(stream, "something was copied without a stream");
  if (emu::recording(stream) && !(addresses().contains(to, bytes) && addresses().contains(from, bytes)))
    emu::spoil(stream, "something was copied from or to host memory that is not page-locked");
  emu::submit(stream, [=] { std::memmove(to, from, bytes); });
}

void fill(void* to, int byte, std::size_t bytes, void* stream) {
  spoil_without_stream(stream, "something was filled without a stream");
  emu::submit(stream, [=] { std::memset(to, byte, bytes); });
}

// Streams and events are on the heap, so that a leak checker sees one that is not destroyed.
void stream_destroy(void* stream) noexcept {
  emu::forget(stream);
  std::free(stream);
}

struct Event {
  void* recorded;  // the stream whose recording it is a part of
};

void* event_record(void* stream) { return new Event{emu::recording(stream) ? stream : nullptr}; }

// CUDA would make the waiting stream a part of the recording; the emulation records one stream.
void event_wait(void* stream, void* event) {
  void* const recorded = static_cast<const Event*>(event)->recorded;
  if (recorded == stream) return;
  if (recorded) emu::spoil(recorded, "another stream was made to wait for the recorded one");
  if (stream) emu::spoil(stream, "the stream was made to wait for an event that is not in the recording");
}

constexpr DeviceApi kApi = {
    .count = []() noexcept { return 1; },
    .alloc = alloc,
    .free = free,
    .copy = copy,
    .fill = fill,
    .stream_create = [](int) { return std::malloc(1); },
    .stream_destroy = stream_destroy,
    .stream_synchronize = [](void* stream) { emu::spoil(stream, "the stream was waited for"); },
    .event_record = event_record,
    .event_wait = event_wait,
    .event_destroy = [](void* event) noexcept { delete static_cast<Event*>(event); },
    .synchronize = [](int) { emu::spoil(nullptr, "the device was waited for"); },
    .free_memory = [](int) { return std::size_t{1} << 30; },
};

}  // namespace

const DeviceApi* device_api_table() noexcept { return &kApi; }

std::string device_problem() { return {}; }

void* pinned_alloc(std::size_t bytes) {
  void* ptr = std::calloc(1, bytes);
  if (!ptr) fail(Exit::Memory, "emulated cuda: cannot allocate {} bytes of host memory", bytes);
  addresses().add(ptr, bytes);
  return ptr;
}

void pinned_free(void* ptr) noexcept {
  emu::spoil_all("page-locked memory was freed");
  addresses().remove(ptr);
  std::free(ptr);
}

}  // namespace rt::cuda
