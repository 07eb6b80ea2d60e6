#pragma once
#include <cstdint>

namespace rt::config {

// A length of training: "200steps", "1Mtokens" (or "1M": a suffixed count is tokens), "20%" of the run.
struct Quantity {
  enum class Unit : std::uint8_t { Steps, Tokens, Percent };
  double value = 0;  // exact for steps and tokens: counts above 2^53 are refused
  Unit unit = Unit::Steps;

  // In optimizer steps of `tokens_per_step`: tokens are rounded up, percents of `total_steps` to the nearest.
  std::int64_t steps(std::int64_t tokens_per_step, std::int64_t total_steps) const;
  friend bool operator==(const Quantity&, const Quantity&) = default;
};

constexpr Quantity steps(std::int64_t n) { return {static_cast<double>(n), Quantity::Unit::Steps}; }
constexpr Quantity tokens(std::int64_t n) { return {static_cast<double>(n), Quantity::Unit::Tokens}; }
constexpr Quantity percent(double p) { return {p, Quantity::Unit::Percent}; }

}  // namespace rt::config
