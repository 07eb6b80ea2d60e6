#include "rt/data/loss_mask.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "data/hash.h"
#include "data/output_file.h"
#include "data/shard_format.h"
#include "rt/core/error.h"
#include "rt/core/mapped_file.h"

// The file, little-endian:
//   header       64 bytes
//   payload      u64 words: bit i % 64 of word i / 64 is 1 when token i is trained on; 0 after the last token
//   block table  xxh3 (u64) of each 1 MiB block of the payload, the last one shorter
//   table xxh3   u64
namespace rt::data {
namespace fs = std::filesystem;
namespace {

constexpr char kMaskName[] = "loss_mask.rmask";
constexpr char kMaskMagic[8] = {'R', 'M', 'A', 'S', 'K', '\r', '\n', '\x1a'};
constexpr std::uint32_t kMaskVersion = 1;
constexpr std::uint64_t kBlockWords = kShardBlock / 8;

struct MaskHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t reserved;
  std::uint64_t tokens;
  std::uint64_t trained;
  std::uint64_t block;
  std::uint64_t of;  // xxh3 of the roots of the shards
  std::uint64_t reserved2;
  std::uint64_t checksum;  // xxh3 of the 56 bytes before it
};
static_assert(sizeof(MaskHeader) == 64);

std::uint64_t words_of(const MaskHeader& h) { return (h.tokens + 63) / 64; }
std::uint64_t blocks_of(const MaskHeader& h) { return (words_of(h) + kBlockWords - 1) / kBlockWords; }
std::uint64_t hash_of(std::span<const std::uint64_t> values) {
  return xxh3(values.data(), values.size_bytes());
}

}  // namespace

struct LossMask::Parts {
  explicit Parts(const fs::path& file) : path(file.string()), map(file, Exit::Data) {}
  std::string path;
  MappedFile map;
  MaskHeader header{};
  const std::uint64_t* words = nullptr;
  const std::uint64_t* table = nullptr;
};

bool LossMask::present(const fs::path& dir) { return fs::exists(dir / kMaskName); }

LossMask::LossMask(const TokenSet& set) {
  if (!present(set.name())) {
    fail(Exit::Data, "{}: has no loss mask; prepare it from conversations with rwkv data prepare --template",
         set.name());
  }
  parts_ = std::make_unique<Parts>(fs::path(set.name()) / kMaskName);
  Parts& p = *parts_;
  MaskHeader& h = p.header;
  if (p.map.size() >= sizeof(h)) std::memcpy(&h, p.map.data(), sizeof(h));
  if (std::memcmp(h.magic, kMaskMagic, sizeof(h.magic)) != 0 || h.version != kMaskVersion ||
      h.block != kShardBlock || xxh3(&h, sizeof(h) - 8) != h.checksum) {
    fail(Exit::Data, "{}: not a loss mask of version {}, or damaged in bytes 0..63; copy this file again",
         p.path, kMaskVersion);
  }
  std::vector<std::uint64_t> roots;
  for (const TokenFile& shard : set.shards()) roots.push_back(shard.root());
  if (h.tokens != set.size() || h.of != hash_of(roots)) {
    fail(Exit::Data, "{}: was made for other shards than those beside it; prepare the data again", p.path);
  }
  const std::uint64_t bytes = sizeof(h) + 8 * (words_of(h) + blocks_of(h) + 1);
  if (p.map.size() != bytes) {
    fail(Exit::Data, "{}: {} tokens need {} bytes, the file has {}; copy this file again", p.path, h.tokens,
         bytes, p.map.size());
  }
  p.words = reinterpret_cast<const std::uint64_t*>(p.map.data() + sizeof(h));
  p.table = p.words + words_of(h);
  if (hash_of({p.table, blocks_of(h)}) != p.table[blocks_of(h)]) {
    fail(Exit::Data, "{}: block table checksum mismatch, bytes {}..{}; copy this file again", p.path,
         sizeof(h) + 8 * words_of(h), bytes - 1);
  }
}

LossMask::~LossMask() = default;
LossMask::LossMask(LossMask&&) noexcept = default;

std::uint64_t LossMask::trained() const { return parts_->header.trained; }
std::uint64_t LossMask::fingerprint() const {
  return xxh3(&parts_->table[blocks_of(parts_->header)], 8, parts_->header.checksum) | 1;
}

void LossMask::fill(std::uint64_t offset, std::size_t n, std::uint8_t* mask) const {
  RT_CHECK(offset <= parts_->header.tokens && n <= parts_->header.tokens - offset,
           "{}: bits [{}, {} + {}) asked of {}", parts_->path, offset, offset, n, parts_->header.tokens);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t at = offset + i;
    mask[i] = static_cast<std::uint8_t>(parts_->words[at / 64] >> (at % 64) & 1);
  }
}

void LossMask::verify() const {
  const Parts& p = *parts_;
  std::uint64_t trained = 0;
  for (std::uint64_t b = 0; b < blocks_of(p.header); ++b) {
    const std::uint64_t begin = b * kBlockWords, n = std::min(kBlockWords, words_of(p.header) - begin);
    for (std::uint64_t w = begin; w < begin + n; ++w)
      trained += static_cast<std::uint64_t>(std::popcount(p.words[w]));
    const std::uint64_t sum = hash_of({p.words + begin, n});
    if (sum == p.table[b]) continue;
    const std::uint64_t first = sizeof(MaskHeader) + 8 * begin;
    fail(Exit::Data, "{}: checksum mismatch (stored {}, read {}), bytes {}..{}; copy this file again", p.path,
         hex16(p.table[b]), hex16(sum), first, first + 8 * n - 1);
  }
  if (trained != p.header.trained) {
    fail(Exit::Data, "{}: the header promises {} trained tokens, {} are marked; prepare the data again",
         p.path, p.header.trained, trained);
  }
}

struct LossMaskWriter::State {
  explicit State(const fs::path& dir) : file(dir / kMaskName) {
    std::memcpy(header.magic, kMaskMagic, sizeof(header.magic));
    header.version = kMaskVersion;
    header.block = kShardBlock;
    file.write(&header, sizeof(header));  // checksum 0 until finish(): never taken for whole
  }
  void push(bool bit) {
    word |= std::uint64_t{bit} << (header.tokens % 64);
    header.trained += bit;
    if (++header.tokens % 64 == 0) end_word();
  }
  void end_word() {
    block.push_back(word);
    word = 0;
    if (block.size() == kBlockWords) end_block();
  }
  void end_block() {
    table.push_back(hash_of(block));
    file.write(block.data(), 8 * block.size());
    block.clear();
  }
  OutputFile file;
  MaskHeader header{};
  std::uint64_t word = 0;
  std::vector<std::uint64_t> block, table;
};

LossMaskWriter::LossMaskWriter(const fs::path& dir) : state_(std::make_unique<State>(dir)) {}
LossMaskWriter::~LossMaskWriter() = default;
LossMaskWriter::LossMaskWriter(LossMaskWriter&&) noexcept = default;

void LossMaskWriter::append(std::span<const std::uint8_t> trained) {
  for (const std::uint8_t bit : trained) state_->push(bit != 0);
}

void LossMaskWriter::append(std::uint64_t tokens, bool trained) {
  for (std::uint64_t i = 0; i < tokens; ++i) state_->push(trained);
}

std::uint64_t LossMaskWriter::tokens() const { return state_->header.tokens; }

void LossMaskWriter::finish(std::span<const std::uint64_t> roots) {
  State& s = *state_;
  if (s.header.tokens % 64 != 0) s.end_word();
  if (!s.block.empty()) s.end_block();
  s.table.push_back(hash_of(s.table));
  s.file.write(s.table.data(), 8 * s.table.size());
  s.header.of = hash_of(roots);
  s.header.checksum = xxh3(&s.header, sizeof(s.header) - 8);
  s.file.write_at(0, &s.header, sizeof(s.header));
  s.file.close();
}

}  // namespace rt::data
