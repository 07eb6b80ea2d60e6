#pragma once
#include <cstddef>

#include "rt/core/device.h"
#include "rt/core/tensor.h"

namespace rt {

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

void copy(const TensorView& to, const TensorView& from);  // same shape and dtype, contiguous, host memory

}  // namespace rt
