#pragma once
#include <algorithm>

#include "rt/core/rng.h"
#include "tests/data/token_set_util.h"

namespace rt::data {

inline std::vector<std::uint8_t> random_bits(std::size_t n, std::uint64_t stream) {
  std::vector<std::uint8_t> bits(n);
  const Rng rng{5, stream};
  for (std::size_t i = 0; i < n; ++i) bits[i] = static_cast<std::uint8_t>(rng.below(i, 2));
  return bits;
}

struct Masked {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> bits;
};

// n tokens in documents of `length`, the first `before` of them without marks of their own.
inline Masked write_masked(const std::filesystem::path& dir, std::size_t n, std::size_t length,
                           std::size_t before = 0) {
  Masked out{random_ids(n, 256), random_bits(n, n)};
  const auto tokenizer = make_byte_tokenizer();
  TokenSetWriter writer(dir, *tokenizer, {.shard_tokens = 1000});
  for (std::size_t at = 0; at < n; at += length) {
    const std::size_t here = std::min(length, n - at);
    writer.begin_document();
    const std::span<const std::int32_t> ids(out.ids.data() + at, here);
    if (at < before) {
      writer.append(ids);
      std::fill_n(out.bits.begin() + static_cast<std::ptrdiff_t>(at), here, std::uint8_t{1});
    } else {
      writer.append(ids, {out.bits.data() + at, here});
    }
  }
  writer.finish();
  return out;
}

}  // namespace rt::data
