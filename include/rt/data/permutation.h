#pragma once
#include <array>
#include <cstdint>

namespace rt::data {

// A pseudo-random bijection of [0, n) onto itself, a pure function of (n, seed, epoch) with O(1) lookup and
// no memory: a Feistel network on the next power of four, walked along its cycle until the value falls below
// n (Black and Rogaway 2002; fewer than four steps on average). Its values are part of the order a run
// resumes in: they never change.
class Permutation {
 public:
  Permutation(std::uint64_t n, std::uint64_t seed, std::uint64_t epoch);
  std::uint64_t size() const { return n_; }
  std::uint64_t operator()(std::uint64_t i) const;  // i < n

 private:
  static constexpr int kRounds = 6;
  std::uint64_t n_;
  int half_bits_ = 0;
  std::array<std::uint64_t, kRounds> keys_{};
};

}  // namespace rt::data
