#pragma once
#include <algorithm>

#include "rt/core/buffer.h"
#include "rt/dist/communicator.h"

// What ranks put into a collective in tests, and what Communicator promises to make of it.
namespace rt::testing {

// Numbers whose sum depends on its order.
template <class T>
T number(int rank, std::int64_t i) {
  const auto scale = static_cast<T>(std::int64_t{1} << ((rank * 5 + i) % 11));
  return static_cast<T>((i * 7919 + rank * 104'729) % 20'011 - 10'005) * scale / T{3};
}
template <class T>
Tensor numbers(int rank, std::int64_t n) {
  Tensor t({n}, dtype_of<T>);
  for (std::int64_t i = 0; i < n; ++i) t.view.as<T>()[i] = number<T>(rank, i);
  return t;
}

enum class Wire { Same, Narrow };

// Of ranks [lo, hi).
template <class T>
T merged(int lo, int hi, std::int64_t i, Wire wire = Wire::Same, dist::ReduceOp op = dist::ReduceOp::Sum) {
  if (hi - lo == 1) {
    const T v = number<T>(lo, i);
    return wire == Wire::Narrow ? static_cast<T>(static_cast<float>(bf16(static_cast<float>(v)))) : v;
  }
  int half = 1;
  while (2 * half < hi - lo) half *= 2;
  const T a = merged<T>(lo, lo + half, i, wire, op), b = merged<T>(lo + half, hi, i, wire, op);
  return op == dist::ReduceOp::Max ? std::max(a, b) : a + b;
}

}  // namespace rt::testing
