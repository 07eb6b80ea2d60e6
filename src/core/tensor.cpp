#include "rt/core/tensor.h"

#include "rt/core/error.h"

namespace rt {

TensorView::TensorView(void* data_, Shape shape_, DType dtype_, Device device_)
    : data(static_cast<std::byte*>(data_)),
      shape(shape_),
      strides(contiguous_strides(shape_)),
      dtype(dtype_),
      device(device_) {}

bool TensorView::is_contiguous() const { return strides == contiguous_strides(shape); }

void TensorView::check_dtype(DType asked) const {
  RT_CHECK(asked == dtype, "tensor of {} read as {}", name(dtype), name(asked));
}

TensorView TensorView::slice(int dim, std::int64_t begin, std::int64_t end) const {
  RT_CHECK(dim >= 0 && dim < shape.rank() && begin >= 0 && begin <= end && end <= shape[dim],
           "slice [{}, {}) of dimension {} of {}", begin, end, dim, shape);
  TensorView out = *this;
  out.data += static_cast<std::ptrdiff_t>(begin * strides[dim]) * static_cast<std::ptrdiff_t>(size_of(dtype));
  out.shape[dim] = end - begin;
  return out;
}

TensorView TensorView::reshape(Shape to) const {
  RT_CHECK(is_contiguous() && to.numel() == numel(), "cannot reshape {} to {}", shape, to);
  return data ? TensorView(data, to, dtype, device) : TensorView();
}

double element(const TensorView& view, std::int64_t i) {
  switch (view.dtype) {
    case DType::F64: return view.as<double>()[i];
    case DType::F32: return static_cast<double>(view.as<float>()[i]);
    case DType::BF16: return static_cast<double>(static_cast<float>(view.as<bf16>()[i]));
    case DType::I32: return view.as<std::int32_t>()[i];
    case DType::U8: return view.as<std::uint8_t>()[i];
  }
  return 0;
}

void set_element(const TensorView& view, std::int64_t i, double value) {
  switch (view.dtype) {
    case DType::F64: view.as<double>()[i] = value; break;
    case DType::F32: view.as<float>()[i] = static_cast<float>(value); break;
    case DType::BF16: view.as<bf16>()[i] = bf16(static_cast<float>(value)); break;
    case DType::I32: view.as<std::int32_t>()[i] = static_cast<std::int32_t>(value); break;
    case DType::U8: view.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(value); break;
  }
}

}  // namespace rt
