#pragma once
#include <cstddef>

#include "rt/io/archive.h"

namespace rt::io {

enum class Converted { Yes, OutOfRange, FloatToInteger };

// Row-major elements of type `to` (F64, F32, BF16, I64, I32, U8, or the source's own type) from a strided
// source of any alignment. Floats round to nearest even; integers must fit; a float never becomes an integer.
Converted convert(const std::byte* from, FileDType from_type, const Shape& shape, const Strides& strides,
                  std::byte* to, FileDType to_type);

}  // namespace rt::io
