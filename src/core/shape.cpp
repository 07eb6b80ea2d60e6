#include "rt/core/shape.h"

#include <ostream>

#include "rt/core/error.h"

namespace rt {

Shape::Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) {
  RT_CHECK(dims.size() <= kMaxRank, "shape of rank {} exceeds {}", dims.size(), kMaxRank);
  for (const auto d : dims) {
    RT_CHECK(d >= 0, "negative extent {} in a shape", d);
    dims_[static_cast<std::size_t>(rank_++)] = d;
  }
}

std::int64_t Shape::numel() const {
  std::int64_t n = 1;
  for (const auto d : *this) n *= d;
  return n;
}

std::string Shape::to_string() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string((*this)[i]);
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.to_string(); }

Strides contiguous_strides(const Shape& shape) {
  Strides strides = shape;
  std::int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

}  // namespace rt
