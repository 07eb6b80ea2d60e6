#include "rt/core/rng.h"

#include <cmath>
#include <numbers>

#include "rt/core/philox.h"

namespace rt {
namespace {

PhiloxBlock block(const Rng& rng, std::uint64_t index) { return philox(rng.seed, rng.stream, index); }

double to_unit(std::uint32_t hi, std::uint32_t lo) {
  const std::uint64_t b = (std::uint64_t{hi} << 32) | lo;
  return static_cast<double>(b >> 11) * 0x1.0p-53;
}

}  // namespace

std::uint64_t Rng::bits(std::uint64_t index) const {
  const PhiloxBlock b = block(*this, index);
  return (std::uint64_t{b.word[1]} << 32) | b.word[0];
}

double Rng::uniform(std::uint64_t index) const {
  const PhiloxBlock b = block(*this, index);
  return to_unit(b.word[1], b.word[0]);
}

double Rng::normal(std::uint64_t index) const {
  const PhiloxBlock b = block(*this, index);
  const double radius = std::sqrt(-2.0 * std::log1p(-to_unit(b.word[1], b.word[0])));
  return radius * std::cos(2.0 * std::numbers::pi * to_unit(b.word[3], b.word[2]));
}

std::uint64_t Rng::below(std::uint64_t index, std::uint64_t n) const {
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(bits(index)) * n) >> 64);
}

Rng Rng::child(const char* purpose) const {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (; *purpose; ++purpose) hash = (hash ^ static_cast<unsigned char>(*purpose)) * 0x100000001b3u;
  return child(hash);
}

Rng Rng::child(std::uint64_t key) const { return {seed, Rng{seed ^ 0x5851f42d4c957f2du, stream}.bits(key)}; }

}  // namespace rt
