#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/token_table.h"

namespace rt::data {

// Byte-pair merges: of all neighbours in a pre-token the pair of lowest rank becomes one token, the leftmost
// first, until none is left. Any length in O(n log n). Immutable; each thread keeps the ids of frequent
// pre-tokens in a table of its own (2 MiB).
class BytePairs {
 public:
  struct Merge {
    std::int32_t left, right, result;
    std::uint32_t rank;
  };
  // Of equal pairs in `merges` the last one counts. `whole_first`: a pre-token that is a token
  // is that token, whatever its merges. `tokens` must outlive this.
  BytePairs(const TokenTable& tokens, std::span<const Merge> merges, bool whole_first);

  // Appends the ids of each of `text`'s pre-tokens, which end at `ends`. Exit::Data for a byte that is no
  // token; `base` is where the text starts in its file.
  void encode(std::string_view text, std::span<const std::size_t> ends, std::uint64_t base,
              std::vector<std::int32_t>& out) const;

 private:
  struct Pair {  // of ids, and what they become
    std::uint64_t key = ~std::uint64_t{0};
    std::uint32_t rank = 0;
    std::int32_t result = -1;
  };
  struct Cache;
  Cache& cache() const;
  const Pair* find(std::int32_t left, std::int32_t right) const;
  // Each writes the ids to `ids`, where there is room for one per byte, and returns how many they are.
  std::size_t merge(std::string_view piece, std::uint64_t base, std::int32_t* ids) const;
  std::size_t merge_short(std::int32_t* ids, std::size_t n) const;
  std::size_t merge_long(std::int32_t* ids, std::size_t n) const;

  std::uint64_t serial_;  // tells this object from all others of the process
  std::int32_t of_byte_[256];
  std::vector<Pair> pairs_;  // open addressing, a power of two
  unsigned shift_ = 0;       // 64 - log2(pairs_.size())
  std::unordered_map<std::string_view, std::int32_t> whole_;
};

}  // namespace rt::data
