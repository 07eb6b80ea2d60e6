#pragma once
#include <cstddef>

#include "rt/core/device.h"
#include "rt/core/tensor.h"

namespace rt {

class Stream;

// Of every allocation, and of the tensors that share one.
inline constexpr std::size_t kAlignment = 256;
constexpr std::size_t padded_bytes(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Move-only owner of one allocation. Contents start undefined.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device device, std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  void fill(int byte);

 private:
  Device device_;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// A buffer with the one view on all of it.
struct Tensor {
  Buffer buffer;
  TensorView view;
  Tensor() = default;
  Tensor(Shape shape, DType dtype, Device device = Device::cpu());  // zero-filled
};

// Same shape and dtype, contiguous, on any devices. With a stream: in its order, host memory free for reuse
// on return. Without: after all work on the devices involved, done on return.
void copy(const TensorView& to, const TensorView& from, const Stream& stream);
void copy(const TensorView& to, const TensorView& from);
// Zeros, in the stream's order. Contiguous.
void clear(const TensorView& view, const Stream& stream);

}  // namespace rt
