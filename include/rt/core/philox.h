#pragma once
#include <cstdint>
#include <cstring>

#include "rt/core/host_device.h"

namespace rt {

struct PhiloxBlock {
  std::uint32_t word[4];
};

// Philox4x32-10 (Salmon et al. 2011): 128 uniform bits that are a pure function of the three.
RT_HOST_DEVICE inline PhiloxBlock philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
  std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(stream), c3 = static_cast<std::uint32_t>(stream >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ key0;
    c1 = static_cast<std::uint32_t>(b);
    c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ key1;
    c3 = static_cast<std::uint32_t>(a);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// One of the two bf16 numbers around x, the nearer the likelier: over all values of `random`, 16 uniform
// bits, the mean is x itself, for denormals too. What bf16 can represent stays as it is, as do infinities and
// NaN. (Above the largest bf16 the upper one is infinity.)
RT_HOST_DEVICE inline float round_stochastic(float x, std::uint32_t random) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;
  bits = (bits + random) & 0xffff0000u;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

}  // namespace rt
