#pragma once
#include <cstdint>

namespace rt {

// Counter-based random numbers (rt/core/philox.h): a value is a pure function of (seed, stream, index), so
// there is no state to save and any draw can be repeated in any order.
struct Rng {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;

  std::uint64_t bits(std::uint64_t index) const;                    // 64 uniform bits
  double uniform(std::uint64_t index) const;                        // [0, 1), 53 bits
  double normal(std::uint64_t index) const;                         // N(0, 1), Box-Muller on one Philox block
  std::uint64_t below(std::uint64_t index, std::uint64_t n) const;  // [0, n), by multiply-shift
  // A stream of its own for a named purpose; the same name always gives the same stream.
  Rng child(const char* purpose) const;
  Rng child(std::uint64_t key) const;
};

}  // namespace rt
