#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt::data {

std::uint64_t xxh3(const void* bytes, std::size_t n, std::uint64_t seed = 0);
inline std::uint64_t xxh3(std::string_view text, std::uint64_t seed = 0) {
  return xxh3(text.data(), text.size(), seed);
}

inline std::uint64_t combine(std::uint64_t a, std::uint64_t b) {  // of two hashes, in order
  const std::uint64_t pair[2] = {a, b};
  return xxh3(pair, sizeof(pair));
}

std::string hex16(std::uint64_t value);  // always 16 lower-case digits

}  // namespace rt::data
