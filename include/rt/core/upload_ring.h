#pragma once
#include <cstddef>
#include <optional>
#include <vector>

#include "rt/core/arena.h"
#include "rt/core/pinned_buffer.h"
#include "rt/core/stream.h"

namespace rt {

// The way of small things from the host to a device that neither waits for: a few slots of page-locked
// memory, each with as much on the device, and a stream of their own for the copies. In turn:
//   std::byte* host = ring.next();        // waits while every slot is in use, and so bounds how far the host
//   ...                                   //   runs ahead of the device
//   std::byte* there = ring.send(stream); // what `stream` is given from now on finds the slot's contents
//   here
//   ...
//   ring.release(stream);                 // what `stream` has been given is the last to use the slot
// On the CPU a slot is one memory, and none of this does anything. Measure: next and send give addresses that
// must not be touched.
class UploadRing {
 public:
  UploadRing(Device device, std::size_t slot_bytes, int slots, MemoryMode mode = MemoryMode::Live);
  UploadRing(const UploadRing&) = delete;
  UploadRing& operator=(const UploadRing&) = delete;

  std::byte* next();
  std::byte* send(const Stream& stream);
  void release(const Stream& stream);
  std::size_t slot_bytes() const { return slot_bytes_; }  // rounded up to what keeps slots aligned
  std::size_t device_bytes() const { return slot_bytes_ * slots_.size(); }

 private:
  struct Slot {
    std::byte* host = nullptr;
    std::byte* device = nullptr;
    std::optional<Event> free;
  };
  Device device_;
  std::size_t slot_bytes_;
  PinnedBuffer pinned_;
  Buffer there_;
  std::optional<Stream> copies_;
  std::vector<Slot> slots_;
  std::size_t at_ = 0;  // the slot that next() gave last
};

}  // namespace rt
