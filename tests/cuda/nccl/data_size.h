#pragma once
#include <cstddef>

#include "cuda/dist/nccl_api.h"

namespace rt::testing {

// Bytes of an element.
inline std::size_t size_of(dist::nccl::DataType type) {
  using dist::nccl::DataType;
  switch (type) {
    case DataType::Float64: return 8;
    case DataType::Float32:
    case DataType::Int32: return 4;
    case DataType::Bfloat16: return 2;
    default: return 1;
  }
}

}  // namespace rt::testing
