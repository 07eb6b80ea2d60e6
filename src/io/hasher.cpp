#include "io/hasher.h"

#include <algorithm>

// g++ 12 takes the undefined operand inside its own AVX-512 intrinsics for a bug of the caller (GCC PR
// 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace rt::io {

struct Hasher::State {
  XXH3_state_t whole, block;
  std::uint64_t block_begin = 0;
  std::vector<std::uint64_t> ends;
  FileDigest digest;

  std::uint64_t block_end() const {
    if (ends.empty()) return block_begin + kDigestBlockBytes;
    const std::size_t at = digest.blocks.size();
    return at < ends.size() ? ends[at] : UINT64_MAX;  // longer than it should be: one block more
  }

  void end_block() {
    digest.blocks.push_back(XXH3_64bits_digest(&block));
    if (!ends.empty()) digest.ends.push_back(digest.size);
    XXH3_64bits_reset(&block);
    block_begin = digest.size;
  }
};

Hasher::Hasher(std::span<const std::uint64_t> ends) : state_(std::make_unique<State>()) {
  XXH3_64bits_reset(&state_->whole);
  XXH3_64bits_reset(&state_->block);
  state_->ends.assign(ends.begin(), ends.end());
}
Hasher::~Hasher() = default;

void Hasher::update(const std::byte* data, std::size_t bytes) {
  State& s = *state_;
  if (s.ends.empty()) XXH3_64bits_update(&s.whole, data, bytes);
  while (bytes > 0) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, s.block_end() - s.digest.size));
    XXH3_64bits_update(&s.block, data, n);
    s.digest.size += n;
    data += n;
    bytes -= n;
    if (s.digest.size == s.block_end()) s.end_block();
  }
}

FileDigest Hasher::finish() {
  State& s = *state_;
  if (s.digest.size > s.block_begin) s.end_block();
  if (!s.ends.empty()) {
    s.digest.xxh3 = xxh3(std::as_bytes(std::span(s.digest.blocks)));
  } else {
    if (s.digest.blocks.size() <= 1) s.digest.blocks.clear();
    s.digest.xxh3 = XXH3_64bits_digest(&s.whole);
  }
  return std::move(s.digest);
}

std::uint64_t xxh3(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace rt::io
