#include <algorithm>
#include <cstring>

#include "data/hash.h"

#include "data/shard_format.h"
#include "data/token_array.h"
#include "rt/core/error.h"
#include "rt/core/mapped_file.h"
#include "rt/data/token_set.h"

namespace rt::data {

struct TokenFile::Parts {
  explicit Parts(const std::filesystem::path& path) : map(path, Exit::Data) {}
  MappedFile map;
  ShardHeader header{};
  const std::byte* payload = nullptr;
  const std::uint64_t* starts = nullptr;
  const std::uint64_t* table = nullptr;
  TokenArray tokens;
  std::uint64_t root = 0;
};

TokenFile::TokenFile(const std::filesystem::path& path)
    : path_(path.string()), parts_(std::make_unique<Parts>(path)) {
  Parts& p = *parts_;
  const std::size_t size = p.map.size();
  if (size < sizeof(ShardHeader)) {
    fail(Exit::Data, "{}: truncated: {} bytes are less than the header of 64; copy this file again", path_,
         size);
  }
  ShardHeader& h = p.header;
  std::memcpy(&h, p.map.data(), sizeof(h));
  if (std::memcmp(h.magic, kShardMagic, sizeof(h.magic)) != 0) {
    fail(Exit::Data, "{}: not a token shard, bytes 0..7 are not its signature; copy this file again", path_);
  }
  const std::uint64_t read_sum = xxh3(&h, sizeof(h) - 8);
  if (read_sum != h.checksum) {
    fail(Exit::Data, "{}: header checksum mismatch (stored {}, read {}), bytes 0..63; copy this file again",
         path_, hex16(h.checksum), hex16(read_sum));
  }
  if (h.version != kShardVersion || h.block != kShardBlock || (h.token_bytes != 2 && h.token_bytes != 4)) {
    fail(Exit::Data, "{}: shard version {} is not supported (this program reads {}); prepare the data again",
         path_, h.version, kShardVersion);
  }
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 56;  // keeps the size arithmetic below from wrapping
  if (h.tokens > kLimit || h.documents > h.tokens || size != shard_file_bytes(h)) {
    const bool sane = h.tokens <= kLimit && h.documents <= h.tokens;
    const std::uint64_t expect = sane ? shard_file_bytes(h) : 0;
    fail(Exit::Data,
         "{}: {}: the header promises {} bytes for {} tokens, the file has {}; copy this file again", path_,
         size < expect ? "truncated" : "wrong size", expect, h.tokens, size);
  }
  const std::byte* base = p.map.data();
  p.payload = base + sizeof(h);
  p.tokens = {p.payload, h.token_bytes == 2 ? TokenType::U16 : TokenType::U32, h.tokens};
  p.starts = reinterpret_cast<const std::uint64_t*>(p.payload + shard_starts_offset(h));
  p.table = reinterpret_cast<const std::uint64_t*>(p.payload + shard_payload_bytes(h));
  const std::uint64_t blocks = shard_blocks(h);
  const std::uint64_t table_sum = xxh3(p.table, 8 * blocks);
  if (table_sum != p.table[blocks]) {
    fail(Exit::Data,
         "{}: block table checksum mismatch (stored {}, read {}), bytes {}..{}; copy this file again", path_,
         hex16(p.table[blocks]), hex16(table_sum), size - 8 * (blocks + 1), size - 1);
  }
  p.root = xxh3(p.table, 8 * (blocks + 1), h.checksum);
}

TokenFile::~TokenFile() = default;
TokenFile::TokenFile(TokenFile&&) noexcept = default;

std::uint64_t TokenFile::size() const { return parts_->header.tokens; }
std::uint64_t TokenFile::documents() const { return parts_->header.documents; }
std::int64_t TokenFile::vocab_size() const { return static_cast<std::int64_t>(parts_->header.vocab); }
std::uint32_t TokenFile::token_bytes() const { return parts_->header.token_bytes; }
std::uint64_t TokenFile::tokenizer_fingerprint() const { return parts_->header.fingerprint; }
std::uint64_t TokenFile::root() const { return parts_->root; }
std::uint64_t TokenFile::file_bytes() const { return parts_->map.size(); }

void TokenFile::read(std::uint64_t offset, std::size_t n, std::int32_t* out) const {
  parts_->tokens.read(offset, n, vocab_size(), out, path_, "run data verify");
}

std::uint64_t TokenFile::next_document(std::uint64_t from) const {
  const std::uint64_t* end = parts_->starts + documents();
  const std::uint64_t* found = std::lower_bound(parts_->starts, end, from);
  // A damaged list may point anywhere: never before `from`, never past the end.
  return found == end ? size() : std::clamp(*found, from, std::max(from, size()));
}

bool TokenFile::previous_document(std::uint64_t at, std::uint64_t& out) const {
  const std::uint64_t* after = std::upper_bound(parts_->starts, parts_->starts + documents(), at);
  if (after == parts_->starts) return false;
  out = std::min(after[-1], at);
  return true;
}

std::uint64_t TokenFile::document_begin(std::uint64_t index) const {
  RT_CHECK(index < documents(), "{}: document {} of {}", path_, index, documents());
  return std::min(parts_->starts[index], size());
}

std::vector<Damage> TokenFile::damage(const std::function<void(std::uint64_t)>& progress) const {
  const Parts& p = *parts_;
  const std::uint64_t payload = shard_payload_bytes(p.header);
  std::vector<Damage> found;
  bool intact = true;
  for (std::uint64_t b = 0; b < shard_blocks(p.header); ++b) {
    const std::uint64_t begin = b * kShardBlock, n = std::min(kShardBlock, payload - begin);
    const std::uint64_t sum = xxh3(p.payload + begin, n);
    if (sum == p.table[b]) {
      const std::uint64_t per_block = kShardBlock / token_bytes(), first = std::min(size(), b * per_block);
      scan_tokens(p.tokens, first, std::min(size(), first + per_block), vocab_size(), sizeof(ShardHeader),
                  path_, "prepare the data again", found);
    } else {
      intact = false;
      const std::uint64_t first = sizeof(ShardHeader) + begin;
      found.push_back(
          {path_, first, first + n,
           format("{}: checksum mismatch (stored {}, read {}), bytes {}..{}; copy this file again", path_,
                  hex16(p.table[b]), hex16(sum), first, first + n - 1)});
    }
    if (progress) progress(begin + n);
  }
  if (intact) scan_starts(found);
  return found;
}

void TokenFile::scan_starts(std::vector<Damage>& out) const {
  for (std::uint64_t i = 0; i < documents(); ++i) {
    const std::uint64_t here = parts_->starts[i];
    if (here < size() && (i == 0 || parts_->starts[i - 1] < here)) continue;
    const std::uint64_t at = sizeof(ShardHeader) + shard_starts_offset(parts_->header) + 8 * i;
    out.push_back(
        {path_, at, at + 8,
         format("{}: document {} starts at {}, out of order or past the {} tokens; prepare the data again",
                path_, i, here, size())});
    return;
  }
}

}  // namespace rt::data
