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
  std::uint64_t in_block = 0;
  FileDigest digest;

  void end_block() {
    digest.blocks.push_back(XXH3_64bits_digest(&block));
    XXH3_64bits_reset(&block);
    in_block = 0;
  }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  XXH3_64bits_reset(&state_->whole);
  XXH3_64bits_reset(&state_->block);
}
Hasher::~Hasher() = default;

void Hasher::update(const std::byte* data, std::size_t bytes) {
  XXH3_64bits_update(&state_->whole, data, bytes);
  state_->digest.size += bytes;
  while (bytes > 0) {
    const auto n =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes, kDigestBlockBytes - state_->in_block));
    XXH3_64bits_update(&state_->block, data, n);
    state_->in_block += n;
    data += n;
    bytes -= n;
    if (state_->in_block == kDigestBlockBytes) state_->end_block();
  }
}

FileDigest Hasher::finish() {
  if (state_->in_block > 0) state_->end_block();
  auto& digest = state_->digest;
  if (digest.blocks.size() <= 1) digest.blocks.clear();
  digest.xxh3 = XXH3_64bits_digest(&state_->whole);
  return std::move(digest);
}

std::uint64_t xxh3(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace rt::io
