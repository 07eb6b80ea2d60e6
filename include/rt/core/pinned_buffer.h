#pragma once
#include <cstddef>
#include <utility>

#include "rt/core/device_api.h"

namespace rt {

// Page-locked host memory, which copies to and from a device overlap with whatever else both do. Zero-filled;
// throws Exit::Memory. Giving it back waits for the device, which may still be copying. Programs without CUDA
// have none: empty is all that it can be there.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::size_t bytes)
      : data_(static_cast<std::byte*>(cuda::pinned_alloc(bytes))), bytes_(bytes) {}
  ~PinnedBuffer() {
    if (data_) cuda::pinned_free(data_);
  }
  PinnedBuffer(PinnedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace rt
