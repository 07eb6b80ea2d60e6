#include "rt/data/token_set.h"

#include <algorithm>

#include "data/hash.h"
#include "data/index_file.h"
#include "data/parts.h"
#include "data/shard_format.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

void check_against_index(const TokenFile& file, const ShardEntry& entry, const Index& index) {
  if (file.tokenizer_fingerprint() != index.tokenizer->fingerprint() ||
      file.vocab_size() != index.tokenizer->vocab_size()) {
    fail(Exit::Data, "{}: made with another tokenizer ({}) than its index says ({}); prepare the data again",
         file.path(), hex16(file.tokenizer_fingerprint()), hex16(index.tokenizer->fingerprint()));
  }
  if (file.size() != entry.tokens || file.documents() != entry.documents || file.root() != entry.xxh3) {
    fail(Exit::Data,
         "{}: is not the shard its index means (index: {} tokens, {}; file: {} tokens, {}); copy it again",
         file.path(), entry.tokens, hex16(entry.xxh3), file.size(), hex16(file.root()));
  }
}

}  // namespace

TokenSet::TokenSet(const std::filesystem::path& dir) : dir_(dir) {
  Index index = read_index(dir);
  for (const ShardEntry& entry : index.shards) {
    shards_.emplace_back(dir / entry.file);
    check_against_index(shards_.back(), entry, index);
    begin_.push_back(begin_.back() + entry.tokens);
    documents_.push_back(documents_.back() + entry.documents);
  }
  if (begin_.back() != index.tokens || documents_.back() != index.documents) {
    fail(Exit::Data, "{}: the index promises {} tokens, its shards hold {}; prepare the data again",
         dir.string(), index.tokens, begin_.back());
  }
  tokenizer_ = std::move(index.tokenizer);
  fingerprint_ = index.checksum;
  description_ = index.description;
}

void TokenSet::read(std::uint64_t offset, std::size_t n, std::int32_t* out) const {
  RT_CHECK(offset <= size() && n <= size() - offset, "{}: tokens [{}, {} + {}) asked of {}", name(), offset,
           offset, n, size());
  for_each_part(begin_, offset, n, [&](std::size_t i, std::uint64_t first, std::size_t count) {
    shards_[i].read(first, count, out);
    out += count;
  });
}

std::uint64_t TokenSet::next_document(std::uint64_t from) const {
  if (from == 0 || from >= size()) return std::min(from, size());
  for (std::size_t i = part_at(begin_, from); i < shards_.size(); ++i) {
    const std::uint64_t at = shards_[i].next_document(std::max(from, begin_[i]) - begin_[i]);
    if (at < shards_[i].size()) return begin_[i] + at;
  }
  return size();
}

std::uint64_t TokenSet::previous_document(std::uint64_t at) const {
  if (size() == 0) return 0;
  at = std::min(at, size() - 1);
  for (std::size_t i = part_at(begin_, at) + 1; i-- > 0;) {
    std::uint64_t found = 0;
    if (shards_[i].previous_document(at - begin_[i], found)) return begin_[i] + found;
    if (i > 0) at = begin_[i] - 1;
  }
  return 0;
}

void TokenSet::document(std::uint64_t index, std::uint64_t& begin, std::uint64_t& end) const {
  if (index >= documents()) fail(Exit::Data, "{}: document {} of {}", name(), index, documents());
  const std::size_t i = part_at(documents_, index);
  begin = begin_[i] + shards_[i].document_begin(index - documents_[i]);
  end = next_document(begin + 1);
}

std::uint64_t TokenSet::bytes() const {
  std::uint64_t total = 0;
  for (const TokenFile& s : shards_) total += s.file_bytes();
  return total;
}

std::vector<StoredFile> TokenSet::files() const {
  std::vector<StoredFile> all;
  for (const TokenFile& s : shards_) {
    all.push_back({s.path(), s.size(), s.documents(), s.token_bytes(), s.file_bytes()});
  }
  return all;
}

std::vector<Damage> TokenSet::damage(
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) const {
  const std::uint64_t total = bytes();
  std::uint64_t done = 0;
  std::vector<Damage> found;
  for (const TokenFile& s : shards_) {
    std::vector<Damage> here = s.damage([&](std::uint64_t bytes) {
      if (progress) progress(done + bytes, total);
    });
    done += s.file_bytes();
    found.insert(found.end(), here.begin(), here.end());
  }
  if (progress) progress(total, total);
  return found;
}

}  // namespace rt::data
