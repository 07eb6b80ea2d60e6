#include "data/byte_pairs.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <memory>
#include <queue>

#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr std::size_t kShort = 48;     // symbols up to which looking at all pairs is faster than a heap
constexpr std::size_t kKeyBytes = 31;  // of a pre-token that is remembered
constexpr std::size_t kKeptIds = 7;    // as many as fit beside the key
constexpr unsigned kCacheBits = 14;    // 16384 pairs of entries of one cache line
constexpr std::uint32_t kNoRank = ~0u;
constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15u;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

std::uint64_t mixed(std::uint64_t x) { return (x ^ x >> 32) * kFactor; }

using Key = std::array<std::uint64_t, 4>;  // the bytes, zeros, and the length in the last byte

// `room` bytes may be read at `piece`.
Key key_of(std::string_view piece, std::size_t room) {
  Key key{};
  const std::size_t n = piece.size();
  if (room >= 32) {
    for (std::size_t i = 0; i * 8 < n; ++i) {
      std::memcpy(&key[i], piece.data() + 8 * i, 8);
      if (n - 8 * i < 8) key[i] &= (std::uint64_t{1} << (8 * (n - 8 * i))) - 1;
    }
  } else {
    std::memcpy(key.data(), piece.data(), n);
  }
  key[3] |= std::uint64_t{n} << 56;
  return key;
}

std::size_t slot_of(const Key& key) {
  const std::uint64_t a = mixed(key[0] ^ std::rotl(key[3], 17)), b = mixed(key[1] + a), c = mixed(key[2] ^ b);
  return static_cast<std::size_t>((a ^ b ^ c) * kFactor >> (64 - kCacheBits));
}

bool same(const Key& a, const Key& b) {
  return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0;
}

std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace

struct BytePairs::Cache {
  struct Entry {
    Key key{};  // all zero: free, for no pre-token is empty
    std::int32_t count = 0;
    std::array<std::int32_t, kKeptIds> ids{};
  };
  static_assert(sizeof(Entry) == 64);
  std::uint64_t owner = 0;
  std::vector<Entry> entries;
};

BytePairs::BytePairs(const TokenTable& tokens, std::span<const Merge> merges, bool whole_first)
    : serial_(next_serial()) {
  std::fill(std::begin(of_byte_), std::end(of_byte_), -1);
  for (std::int64_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    if (token.size() == 1) of_byte_[static_cast<unsigned char>(token[0])] = static_cast<std::int32_t>(id);
    if (whole_first && !token.empty()) whole_.emplace(token, static_cast<std::int32_t>(id));
  }
  const std::size_t capacity = std::bit_ceil(std::max<std::size_t>(16, 2 * merges.size()));
  pairs_.resize(capacity);
  shift_ = static_cast<unsigned>(64 - std::countr_zero(capacity));
  for (const Merge& m : merges) {
    const std::uint64_t key = pair_key(m.left, m.right);
    std::size_t at = mixed(key) >> shift_;
    while (pairs_[at].result >= 0 && pairs_[at].key != key) at = (at + 1) & (capacity - 1);
    pairs_[at] = {key, m.rank, m.result};
  }
}

const BytePairs::Pair* BytePairs::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = pair_key(left, right);
  for (std::size_t at = mixed(key) >> shift_;; at = (at + 1) & (pairs_.size() - 1)) {
    const Pair& pair = pairs_[at];
    if (pair.key == key) return &pair;
    if (pair.result < 0) return nullptr;
  }
}

BytePairs::Cache& BytePairs::cache() const {
  thread_local Cache cache;
  if (cache.owner != serial_) {
    cache.entries.assign(std::size_t{2} << kCacheBits, {});
    cache.owner = serial_;
  }
  return cache;
}

void BytePairs::encode(std::string_view text, std::span<const std::size_t> ends, std::uint64_t base,
                       std::vector<std::int32_t>& out) const {
  Cache& known = cache();
  // No text has more tokens than bytes; what is known is copied whole.
  const std::size_t before = out.size();
  out.resize(before + text.size() + kKeptIds);
  std::int32_t* to = out.data() + before;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    const std::string_view piece = text.substr(begin, end - begin);
    const std::size_t at = begin;
    begin = end;
    if (piece.size() > kKeyBytes) {
      to += merge(piece, base + at, to);
      continue;
    }
    const Key key = key_of(piece, text.size() - at);
    Cache::Entry* const pair = &known.entries[2 * slot_of(key)];
    const Cache::Entry* found = same(pair[0].key, key)   ? &pair[0]
                                : same(pair[1].key, key) ? &pair[1]
                                                         : nullptr;
    if (found) {
      std::memcpy(to, found->ids.data(), sizeof(found->ids));
      to += found->count;
      continue;
    }
    const std::size_t n = merge(piece, base + at, to);
    if (n <= kKeptIds) {
      pair[1] = pair[0];  // the younger of the two stays
      pair[0].key = key;
      pair[0].count = static_cast<std::int32_t>(n);
      std::copy_n(to, n, pair[0].ids.begin());
    }
    to += n;
  }
  out.resize(static_cast<std::size_t>(to - out.data()));
}

std::size_t BytePairs::merge(std::string_view piece, std::uint64_t base, std::int32_t* ids) const {
  if (const auto found = whole_.find(piece); found != whole_.end()) {
    ids[0] = found->second;
    return 1;
  }
  for (std::size_t i = 0; i < piece.size(); ++i) {
    const auto byte = static_cast<unsigned char>(piece[i]);
    if (of_byte_[byte] < 0) {
      fail(Exit::Data, "byte {} at byte {} of the text is no token of this vocabulary; use another tokenizer",
           unsigned{byte}, base + i);
    }
    ids[i] = of_byte_[byte];
  }
  return piece.size() <= kShort ? merge_short(ids, piece.size()) : merge_long(ids, piece.size());
}

std::size_t BytePairs::merge_short(std::int32_t* id, std::size_t n) const {
  std::array<std::uint32_t, kShort> rank;
  std::array<std::int32_t, kShort> result;
  const auto look = [&](std::size_t i) {  // at the pair of i and i + 1
    const Pair* pair = i + 1 < n ? find(id[i], id[i + 1]) : nullptr;
    rank[i] = pair ? pair->rank : kNoRank;
    result[i] = pair ? pair->result : -1;
  };
  for (std::size_t i = 0; i < n; ++i) look(i);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i) best = rank[i] < rank[best] ? i : best;
    if (rank[best] == kNoRank) break;
    id[best] = result[best];
    for (std::size_t i = best + 1; i + 1 < n; ++i) {
      id[i] = id[i + 1];
      rank[i] = rank[i + 1];
      result[i] = result[i + 1];
    }
    --n;
    look(best);
    if (best > 0) look(best - 1);
  }
  return n;
}

std::size_t BytePairs::merge_long(std::int32_t* ids, std::size_t n) const {
  struct Symbol {
    std::int32_t id;
    std::uint32_t previous, next;  // places in the list; kNoRank: none
  };
  struct Candidate {
    std::uint32_t rank, at;  // of the left symbol
    std::int32_t left, right, result;
    bool operator<(const Candidate& other) const {  // the lowest rank is on top, then the leftmost
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  if (n >= kNoRank) fail(Exit::Data, "a word of {} bytes is too long", n);
  std::vector<Symbol> symbols(n);
  for (std::uint32_t i = 0; i < n; ++i)
    symbols[i] = {ids[i], i == 0 ? kNoRank : i - 1, i + 1 < n ? i + 1 : kNoRank};
  std::priority_queue<Candidate> queue;
  const auto look = [&](std::uint32_t at) {
    if (at == kNoRank || symbols[at].next == kNoRank) return;
    const std::int32_t left = symbols[at].id, right = symbols[symbols[at].next].id;
    if (const Pair* pair = find(left, right)) queue.push({pair->rank, at, left, right, pair->result});
  };
  for (std::uint32_t i = 0; i < n; ++i) look(i);
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    Symbol& left = symbols[c.at];
    // What was merged away since has id -1, and what became another token another id.
    if (left.id != c.left || left.next == kNoRank || symbols[left.next].id != c.right) continue;
    Symbol& right = symbols[left.next];
    left.id = c.result;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNoRank) symbols[left.next].previous = c.at;
    look(c.at);
    look(left.previous);
  }
  std::size_t kept = 0;
  for (std::uint32_t i = 0; i != kNoRank; i = symbols[i].next) ids[kept++] = symbols[i].id;
  return kept;
}

}  // namespace rt::data
