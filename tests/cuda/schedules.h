#pragma once
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <functional>
#include <vector>

#include "cuda/emulation/runtime.h"
#include "tests/cuda/kernels.h"

namespace rt::cuda::testing {

// Between -1 and 1.
inline std::vector<bf16> numbers(std::size_t n, std::uint64_t seed) {
  std::vector<bf16> out(n);
  for (bf16& value : out) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    value = bf16(static_cast<float>(static_cast<std::int32_t>(seed >> 32)) / 2147483648.0f);
  }
  return out;
}

template <class T>
std::vector<std::uint32_t> bits(const std::vector<T>& values) {
  std::vector<std::uint32_t> out;
  for (const T& v : values) out.push_back(std::bit_cast<std::uint32_t>(static_cast<float>(v)));
  return out;
}

using Bits = std::vector<std::uint32_t>;

// The results of `run`, one per schedule, the default first.
inline std::vector<Bits> in_every_schedule(const std::function<Bits()>& run) {
  std::vector<Bits> results;
  for (int i = 0; i < emu::schedule_count(); ++i) {
    emu::use_schedule(i);
    results.push_back(run());
  }
  emu::use_schedule(0);
  return results;
}

// Operands of a product with a ragged last tile.
constexpr std::int64_t kM = 40, kN = 64, kK = 96;
inline const std::vector<bf16>& gemm_a() {
  static const std::vector<bf16> a = numbers(kM * kK, 1);
  return a;
}
inline const std::vector<bf16>& gemm_b() {
  static const std::vector<bf16> b = numbers(kK * kN, 2);
  return b;
}

}  // namespace rt::cuda::testing
