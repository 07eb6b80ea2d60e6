#include "data/hash.h"

// g++ 12 warns about its own AVX-512 intrinsics (_mm512_undefined_epi32) where xxhash inlines them.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace rt::data {

std::uint64_t xxh3(const void* bytes, std::size_t n, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes, n, seed);
}

std::string hex16(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

}  // namespace rt::data
