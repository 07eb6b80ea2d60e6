#include "rt/core/rng.h"

#include <array>
#include <cmath>
#include <numbers>

namespace rt {
namespace {

using Block = std::array<std::uint32_t, 4>;

Block philox(Block counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(a)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

Block block(const Rng& rng, std::uint64_t index) {
  return philox({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                 static_cast<std::uint32_t>(rng.stream), static_cast<std::uint32_t>(rng.stream >> 32)},
                static_cast<std::uint32_t>(rng.seed), static_cast<std::uint32_t>(rng.seed >> 32));
}

double to_unit(std::uint32_t hi, std::uint32_t lo) {
  const std::uint64_t b = (std::uint64_t{hi} << 32) | lo;
  return static_cast<double>(b >> 11) * 0x1.0p-53;
}

}  // namespace

std::uint64_t Rng::bits(std::uint64_t index) const {
  const Block b = block(*this, index);
  return (std::uint64_t{b[1]} << 32) | b[0];
}

double Rng::uniform(std::uint64_t index) const {
  const Block b = block(*this, index);
  return to_unit(b[1], b[0]);
}

double Rng::normal(std::uint64_t index) const {
  const Block b = block(*this, index);
  const double radius = std::sqrt(-2.0 * std::log1p(-to_unit(b[1], b[0])));
  return radius * std::cos(2.0 * std::numbers::pi * to_unit(b[3], b[2]));
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
