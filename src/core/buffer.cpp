#include "rt/core/buffer.h"

#include <utility>

#include "rt/core/error.h"
#include "rt/core/stream.h"

namespace rt {

Buffer::Buffer(Device device, std::size_t bytes)
    : device_(device),
      data_(static_cast<std::byte*>(device_api(device.kind).alloc(device.index, bytes ? bytes : 1, nullptr))),
      bytes_(bytes) {}

Buffer::~Buffer() {
  if (data_) device_api(device_.kind).free(device_.index, data_, bytes_, nullptr);
}

Buffer::Buffer(Buffer&& other) noexcept
    : device_(other.device_),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void Buffer::fill(int byte) { device_api(device_.kind).fill(data_, byte, bytes_, nullptr); }

Tensor::Tensor(Shape shape, DType dtype, Device device)
    : buffer(device, static_cast<std::size_t>(shape.numel()) * size_of(dtype)),
      view(buffer.data(), shape, dtype, device) {
  buffer.fill(0);
}

namespace {

// The device that does the copying: the one that is not the CPU, if any.
Device copier(const TensorView& to, const TensorView& from) {
  return to.device.kind == DeviceKind::Cpu ? from.device : to.device;
}

void check_copy(const TensorView& to, const TensorView& from) {
  RT_CHECK(to.shape == from.shape && to.dtype == from.dtype, "copy: {} {} to {} {}", from.shape,
           name(from.dtype), to.shape, name(to.dtype));
  RT_CHECK(to.is_contiguous() && from.is_contiguous(), "copy: views must be contiguous");
}

}  // namespace

void copy(const TensorView& to, const TensorView& from, const Stream& stream) {
  check_copy(to, from);
  device_api(copier(to, from).kind).copy(to.data, from.data, from.nbytes(), stream.native());
}

void copy(const TensorView& to, const TensorView& from) {
  check_copy(to, from);
  const Device device = copier(to, from);
  const DeviceApi& api = device_api(device.kind);
  api.synchronize(device.index);
  api.copy(to.data, from.data, from.nbytes(), nullptr);
  api.synchronize(device.index);
}

void clear(const TensorView& view, const Stream& stream) {
  RT_CHECK(view.is_contiguous(), "clear of {}: not contiguous", view.shape);
  device_api(view.device.kind).fill(view.data, 0, view.nbytes(), stream.native());
}

}  // namespace rt
