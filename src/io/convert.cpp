#include "io/convert.h"

#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

namespace rt::io {
namespace {

static_assert(std::endian::native == std::endian::little, "file formats are read and written in place");

template <class T>
T load_bits(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// A small float format with sign, exponent and mantissa widths and the usual subnormals.
float widen_small(unsigned bits, int exponent_bits, int mantissa_bits, bool has_infinity) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int mantissa = static_cast<int>(bits & ((1u << mantissa_bits) - 1));
  const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1u << exponent_bits) - 1));
  const int top = (1 << exponent_bits) - 1;
  const auto sign = static_cast<std::uint32_t>((bits >> (exponent_bits + mantissa_bits)) & 1u) << 31;
  if (has_infinity ? exponent == top : exponent == top && mantissa == (1 << mantissa_bits) - 1) {
    const bool infinite = has_infinity && mantissa == 0;
    return std::bit_cast<float>(sign | (infinite ? 0x7f800000u : 0x7fc00000u));
  }
  if (exponent == 0) {
    const float unit = std::bit_cast<float>(static_cast<std::uint32_t>(128 - bias - mantissa_bits) << 23);
    const float value = static_cast<float>(mantissa) * unit;
    return sign != 0 ? -value : value;
  }
  const auto exponent32 = static_cast<std::uint32_t>(exponent - bias + 127);
  return std::bit_cast<float>(sign | exponent32 << 23 |
                              static_cast<std::uint32_t>(mantissa) << (23 - mantissa_bits));
}

template <class T>
struct Plain {
  static T load(const std::byte* p) { return load_bits<T>(p); }
};
struct Bf16Source {
  static float load(const std::byte* p) { return static_cast<float>(load_bits<bf16>(p)); }
};
struct F16Source {
  static float load(const std::byte* p) { return widen_small(load_bits<std::uint16_t>(p), 5, 10, true); }
};
struct F8e5m2Source {
  static float load(const std::byte* p) { return widen_small(load_bits<std::uint8_t>(p), 5, 2, true); }
};
struct F8e4m3Source {
  static float load(const std::byte* p) { return widen_small(load_bits<std::uint8_t>(p), 4, 3, false); }
};

template <class F>
auto with_source(FileDType type, F&& f) {
  switch (type) {
    case FileDType::Bool:
    case FileDType::U8: return f(Plain<std::uint8_t>{});
    case FileDType::I8: return f(Plain<std::int8_t>{});
    case FileDType::F8E5M2: return f(F8e5m2Source{});
    case FileDType::F8E4M3: return f(F8e4m3Source{});
    case FileDType::I16: return f(Plain<std::int16_t>{});
    case FileDType::U16: return f(Plain<std::uint16_t>{});
    case FileDType::F16: return f(F16Source{});
    case FileDType::BF16: return f(Bf16Source{});
    case FileDType::I32: return f(Plain<std::int32_t>{});
    case FileDType::U32: return f(Plain<std::uint32_t>{});
    case FileDType::F32: return f(Plain<float>{});
    case FileDType::F64: return f(Plain<double>{});
    case FileDType::I64: return f(Plain<std::int64_t>{});
    case FileDType::U64: break;
  }
  return f(Plain<std::uint64_t>{});
}

template <class To, class From>
Converted assign(From value, std::byte* to) {
  To out{};
  if constexpr (std::is_integral_v<To>) {
    if constexpr (std::is_integral_v<From>) {
      if (!std::in_range<To>(value)) return Converted::OutOfRange;
      out = static_cast<To>(value);
    } else {
      return Converted::FloatToInteger;
    }
  } else if constexpr (std::is_same_v<To, bf16>) {
    out = bf16(static_cast<float>(value));
  } else {
    out = static_cast<To>(value);
  }
  std::memcpy(to, &out, sizeof out);
  return Converted::Yes;
}

// `width` elements, each `step` bytes behind the one before, to dense ones at `to`.
using Row = Converted (*)(const std::byte* from, std::ptrdiff_t step, std::int64_t width, std::byte* to);

template <class Source, class To>
Converted convert_row(const std::byte* from, std::ptrdiff_t step, std::int64_t width, std::byte* to) {
  for (std::int64_t i = 0; i < width; ++i, to += sizeof(To)) {
    const auto result = assign<To>(Source::load(from + i * step), to);
    if (result != Converted::Yes) return result;
  }
  return Converted::Yes;
}

template <std::ptrdiff_t Size>
Converted copy_row(const std::byte* from, std::ptrdiff_t step, std::int64_t width, std::byte* to) {
  if (step == Size) {
    std::memcpy(to, from, static_cast<std::size_t>(width * Size));
  } else {
    for (std::int64_t i = 0; i < width; ++i) std::memcpy(to + i * Size, from + i * step, Size);
  }
  return Converted::Yes;
}

Row copy_of(std::size_t size) {
  switch (size) {
    case 1: return copy_row<1>;
    case 2: return copy_row<2>;
    case 4: return copy_row<4>;
    default: return copy_row<8>;
  }
}

// Both sizes are of an element, in bytes; the innermost rows are taken in row-major order.
Converted for_each_row(const std::byte* from, std::ptrdiff_t from_size, const Shape& shape,
                       const Strides& strides, std::byte* to, std::ptrdiff_t to_size, Row row) {
  const std::int64_t n = shape.numel();
  const int rank = shape.rank();
  const std::int64_t width = rank > 0 ? shape.back() : 1;
  const std::ptrdiff_t step = rank > 0 ? strides.back() * from_size : from_size;
  Shape index = shape;
  for (int d = 0; d < rank; ++d) index[d] = 0;
  std::int64_t offset = 0;
  for (std::int64_t done = 0; done < n; done += width) {
    const auto result = row(from + offset * from_size, step, width, to + done * to_size);
    if (result != Converted::Yes) return result;
    for (int d = rank - 2; d >= 0; --d) {
      offset += strides[d];
      if (++index[d] < shape[d]) break;
      offset -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return Converted::Yes;
}

}  // namespace

Converted convert(const std::byte* from, FileDType from_type, const Shape& shape, const Strides& strides,
                  std::byte* to, FileDType to_type) {
  if (shape.numel() == 0) return Converted::Yes;
  const auto from_size = static_cast<std::ptrdiff_t>(size_of(from_type));
  if (from_type == to_type) {
    return for_each_row(from, from_size, shape, strides, to, from_size, copy_of(size_of(from_type)));
  }
  return with_source(from_type, [&](auto source) {
    using Source = decltype(source);
    const auto as = [&]<class To>(To*) {
      return for_each_row(from, from_size, shape, strides, to, sizeof(To), convert_row<Source, To>);
    };
    switch (to_type) {
      case FileDType::F64: return as(static_cast<double*>(nullptr));
      case FileDType::BF16: return as(static_cast<bf16*>(nullptr));
      case FileDType::I64: return as(static_cast<std::int64_t*>(nullptr));
      case FileDType::I32: return as(static_cast<std::int32_t*>(nullptr));
      case FileDType::U8: return as(static_cast<std::uint8_t*>(nullptr));
      default: return as(static_cast<float*>(nullptr));
    }
  });
}

}  // namespace rt::io
