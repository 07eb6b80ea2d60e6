#include "rt/data/permutation.h"

#include <bit>
#include <utility>

#include "rt/core/error.h"
#include "rt/core/rng.h"

namespace rt::data {
namespace {

std::uint64_t mix(std::uint64_t x) {  // the finaliser of SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

Permutation::Permutation(std::uint64_t n, std::uint64_t seed, std::uint64_t epoch) : n_(n) {
  RT_CHECK(n > 0, "Permutation of nothing");
  half_bits_ = (std::bit_width(n - 1) + 1) / 2;
  const Rng rng = Rng{seed, 0}.child("data order").child(epoch);
  for (int r = 0; r < kRounds; ++r)
    keys_[static_cast<std::size_t>(r)] = rng.bits(static_cast<std::uint64_t>(r));
}

std::uint64_t Permutation::operator()(std::uint64_t i) const {
  RT_CHECK(i < n_, "Permutation: {} of {}", i, n_);
  if (half_bits_ == 0) return 0;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t x = i;
  do {
    std::uint64_t left = x >> half_bits_, right = x & mask;
    for (const std::uint64_t key : keys_) {
      left ^= mix(right + key) & mask;
      std::swap(left, right);
    }
    x = (left << half_bits_) | right;
  } while (x >= n_);
  return x;
}

}  // namespace rt::data
