#pragma once
#include <cstddef>
#include <string_view>

#include "rt/core/device.h"
#include "rt/core/dtype.h"
#include "rt/core/shape.h"

namespace rt {

// A non-owning, trivially copyable window on memory. The innermost stride is 1. An empty view (no data) means
// "absent": an optional argument, or a gradient nobody asked for.
struct TensorView {
  std::byte* data = nullptr;
  Shape shape;
  Strides strides;
  DType dtype = DType::F32;
  Device device;

  TensorView() = default;
  TensorView(void* data, Shape shape, DType dtype, Device device = Device::cpu());  // contiguous

  explicit operator bool() const { return data != nullptr; }
  std::int64_t numel() const { return shape.numel(); }
  std::size_t nbytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype); }
  bool is_contiguous() const;

  template <class T>
  T* as() const {
    check_dtype(dtype_of<T>);
    return reinterpret_cast<T*>(data);
  }
  TensorView slice(int dim, std::int64_t begin, std::int64_t end) const;
  TensorView reshape(Shape to) const;  // contiguous views only; same numel

 private:
  void check_dtype(DType asked) const;
};

// Element i of a contiguous view of any floating dtype, widened. For tests, tools and metrics, not for
// kernels.
double element(const TensorView& view, std::int64_t i);
void set_element(const TensorView& view, std::int64_t i, double value);

}  // namespace rt
