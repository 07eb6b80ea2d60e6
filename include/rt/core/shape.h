#pragma once
#include <array>
#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

// Dimension letters, fixed everywhere: B batch, T time, C width, H heads, N head size, V vocabulary, L
// layers, D inner or low-rank size, Q chunk of time. A gradient is d + the name of what it belongs to.
namespace rt {

// Up to six extents, by value. Also used for strides (in elements).
class Shape {
 public:
  static constexpr int kMaxRank = 6;
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int i) const {
    assert(i >= 0 && i < rank_);
    return dims_[static_cast<std::size_t>(i)];
  }
  std::int64_t& operator[](int i) {
    assert(i >= 0 && i < rank_);
    return dims_[static_cast<std::size_t>(i)];
  }
  std::int64_t back() const { return (*this)[rank_ - 1]; }
  std::int64_t numel() const;
  std::string to_string() const;  // "(2, 3)"
  const std::int64_t* begin() const { return dims_.data(); }
  const std::int64_t* end() const { return dims_.data() + rank_; }
  friend bool operator==(const Shape& a, const Shape& b) = default;
  friend std::ostream& operator<<(std::ostream& out, const Shape& s);

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};
using Strides = Shape;

Strides contiguous_strides(const Shape& shape);

}  // namespace rt
