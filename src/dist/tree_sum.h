#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

#include "rt/dist/communicator.h"

namespace rt::dist {

// parts[0] = all parts in the order that Communicator promises. The others are left undefined.
template <class T>
void tree_reduce(std::span<T* const> parts, std::int64_t n, ReduceOp op) {
  const auto merge = [&](T* into, const T* from) {
    if (op == ReduceOp::Sum) {
      for (std::int64_t i = 0; i < n; ++i) into[i] += from[i];
    } else {
      for (std::int64_t i = 0; i < n; ++i) into[i] = std::max(into[i], from[i]);
    }
  };
  for (std::size_t stride = 1; stride < parts.size(); stride *= 2) {
    for (std::size_t r = 0; r + stride < parts.size(); r += 2 * stride) merge(parts[r], parts[r + stride]);
  }
}

}  // namespace rt::dist
