// The host as a CUDA device: memory is the heap, work is done when the call returns or later (streams.h).
// While a stream is being recorded, work for it is kept instead, and what CUDA does not allow then spoils the
// recording.
#include "rt/core/device_api.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/emulation/recorder.h"
#include "cuda/emulation/streams.h"
#include "rt/core/error.h"

namespace rt::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

enum class Owner : std::uint8_t { Device, Host };

// Allocations that work of the device may name later than it is given: its own, and page-locked ones.
class Addresses {
 public:
  void add(const void* begin, std::size_t bytes, Owner owner) {
    const std::lock_guard lock(mutex_);
    live_[number(begin)] = {bytes, owner};
    if (owner == Owner::Device) device_bytes_ += bytes;
  }
  void remove(const void* begin) {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(number(begin));
    if (found == live_.end()) return;
    if (found->second.owner == Owner::Device) device_bytes_ -= found->second.bytes;
    live_.erase(found);
  }
  bool contains(const void* p, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto next = live_.upper_bound(number(p));
    if (next == live_.begin()) return false;
    --next;
    const std::size_t offset = number(p) - next->first, size = next->second.bytes;
    return offset <= size && bytes <= size - offset;
  }
  std::size_t device_bytes() {
    const std::lock_guard lock(mutex_);
    return device_bytes_;
  }

 private:
  static std::uintptr_t number(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

  std::mutex mutex_;
  struct Allocation {
    std::size_t bytes;
    Owner owner;
  };
  std::map<std::uintptr_t, Allocation> live_;  // by where they begin
  std::size_t device_bytes_ = 0;
};

// Never destroyed: buffers may be freed by static destructors.
Addresses& addresses() {
  static auto* const all = new Addresses;
  return *all;
}

int device_count() noexcept {
  static const char* const said = std::getenv("RT_EMULATED_DEVICES");
  return said ? std::atoi(said) : 1;
}

// Contents start as 0xff, which is NaN in every floating format: a read before a write shows.
void* alloc(int index, std::size_t bytes, void*) {
  RT_CHECK(index >= 0 && index < device_count(), "emulated cuda: device {} of {}", index, device_count());
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* ptr = std::aligned_alloc(kAlignment, rounded);
  if (!ptr) fail(Exit::Memory, "emulated cuda: cannot allocate {} bytes", bytes);
  std::memset(ptr, 0xff, rounded);
  addresses().add(ptr, bytes, Owner::Device);
  return ptr;
}

// Everything given to the device so far.
void wait_for_all() {
  emu::count(emu::Stop::Wait);
  emu::finish_all();
}

void free(int, void* ptr, std::size_t, void*) noexcept {
  emu::spoil_all("memory of the device was freed");
  wait_for_all();
  addresses().remove(ptr);
  std::free(ptr);
}

// Without a stream, work begins by waiting for the device.
void begin_without_stream(const char* what) {
  emu::spoil(nullptr, what);
  wait_for_all();
}

// As CUDA does: into pageable memory it waits, what comes from there is staged before the call returns.
void copy_pageable(void* to, const void* from, std::size_t bytes, void* stream) {
  emu::count(emu::Stop::Pageable);
  if (emu::recording(stream))
    return emu::spoil(stream, "something was copied from or to host memory that is not page-locked");
  if (!addresses().contains(to, bytes)) {
    emu::finish(emu::end_of(stream));
    std::memmove(to, from, bytes);
    return;
  }
  const auto* begin = static_cast<const std::byte*>(from);
  emu::submit(stream, [to, staged = std::vector<std::byte>(begin, begin + bytes)] {
    std::memcpy(to, staged.data(), staged.size());
  });
}

void copy(void* to, const void* from, std::size_t bytes, void* stream) {
  if (!stream) {
    begin_without_stream("something was copied without a stream");
    std::memmove(to, from, bytes);
  } else if (addresses().contains(to, bytes) && addresses().contains(from, bytes)) {
    emu::submit(stream, [=] { std::memmove(to, from, bytes); });
  } else {
    copy_pageable(to, from, bytes, stream);
  }
}

void fill(void* to, int byte, std::size_t bytes, void* stream) {
  if (!stream) begin_without_stream("something was filled without a stream");
  emu::submit(stream, [=] { std::memset(to, byte, bytes); });
}

// Streams and events are on the heap, so that a leak checker sees one that is not destroyed.
void stream_destroy(void* stream) noexcept {
  emu::finish(emu::end_of(stream));
  emu::forget(stream);
  std::free(stream);
}

void stream_synchronize(void* stream) {
  emu::spoil(stream, "the stream was waited for");
  emu::count(emu::Stop::Wait);
  emu::finish(emu::end_of(stream));
}

void synchronize(int) {
  emu::spoil(nullptr, "the device was waited for");
  wait_for_all();
}

struct Event {
  void* recorded;  // the stream whose recording it is a part of
  emu::Point point;
};

void* event_record(void* stream) {
  return new Event{emu::recording(stream) ? stream : nullptr, emu::end_of(stream)};
}

// CUDA would make the waiting stream a part of the recording; the emulation records one stream.
void event_wait(void* stream, void* event) {
  const auto& [recorded, point] = *static_cast<const Event*>(event);
  if (recorded && recorded == stream) return;
  if (recorded) emu::spoil(recorded, "another stream was made to wait for the recorded one");
  if (stream) emu::spoil(stream, "the stream was made to wait for an event that is not in the recording");
  if (!recorded && !emu::recording(stream)) emu::come_after(stream, point);
}

void event_synchronize(void* event) {
  const auto& [recorded, point] = *static_cast<const Event*>(event);
  if (recorded) emu::spoil(recorded, "an event of the recording was waited for");
  emu::count(emu::Stop::Event);
  emu::finish(point);
}

bool event_query(void* event) {
  const auto& [recorded, point] = *static_cast<const Event*>(event);
  if (recorded) emu::spoil(recorded, "an event of the recording was asked for");
  return !recorded && emu::reached(point);
}

constexpr DeviceApi kApi = {
    .count = device_count,
    .alloc = alloc,
    .free = free,
    .copy = copy,
    .fill = fill,
    .stream_create = [](int) { return std::malloc(1); },
    .stream_destroy = stream_destroy,
    .stream_synchronize = stream_synchronize,
    .event_record = event_record,
    .event_wait = event_wait,
    .event_synchronize = event_synchronize,
    .event_query = event_query,
    .event_destroy = [](void* event) noexcept { delete static_cast<Event*>(event); },
    .synchronize = synchronize,
    .free_memory =
        [](int) { return (std::size_t{1} << 30) - std::min(std::size_t{1} << 30, emu::device_bytes()); },
};

}  // namespace

std::size_t emu::device_bytes() { return addresses().device_bytes(); }

const DeviceApi* device_api_table() noexcept { return &kApi; }

std::string device_problem() { return {}; }

void* pinned_alloc(std::size_t bytes) {
  void* ptr = std::calloc(1, bytes);
  if (!ptr) fail(Exit::Memory, "emulated cuda: cannot allocate {} bytes of host memory", bytes);
  addresses().add(ptr, bytes, Owner::Host);
  return ptr;
}

void pinned_free(void* ptr) noexcept {
  emu::spoil_all("page-locked memory was freed");
  wait_for_all();
  addresses().remove(ptr);
  std::free(ptr);
}

}  // namespace rt::cuda
