#include "data/megatron.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>

#include "data/hash.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

template <class T>
T load(const MappedFile& file, std::uint64_t at) {
  T value;
  std::memcpy(&value, file.data() + at, sizeof(T));
  return value;
}

std::optional<TokenType> token_type(std::uint8_t code) {
  switch (code) {
    case 1: return TokenType::U8;
    case 2: return TokenType::I8;
    case 3: return TokenType::I16;
    case 4: return TokenType::I32;
    case 5: return TokenType::I64;
    case 8: return TokenType::U16;
    default: return std::nullopt;
  }
}

// First i in [0, n) for which start(i) >= wanted, or n. The list may be damaged: any order ends the search.
template <class Start>
std::uint64_t first_at_least(std::uint64_t n, std::uint64_t wanted, const Start& start) {
  std::uint64_t low = 0, high = n;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (start(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace

bool is_megatron_index(const std::filesystem::path& path) {
  char magic[sizeof(kMegatronMagic)] = {};
  std::ifstream file(path, std::ios::binary);
  return file.read(magic, sizeof(magic)) && std::memcmp(magic, kMegatronMagic, sizeof(magic)) == 0;
}

MegatronTokens::MegatronTokens(const std::filesystem::path& stem, const Tokenizer& tokenizer)
    : stem_(stem.string()),
      bin_path_(stem_ + ".bin"),
      idx_path_(stem_ + ".idx"),
      tokenizer_(&tokenizer),
      idx_(idx_path_, Exit::Data),
      bin_(bin_path_, Exit::Data) {
  if (idx_.size() < kMegatronHeader) {
    fail(Exit::Data, "{}: truncated: {} bytes are less than the header of {}; copy this file again",
         idx_path_, idx_.size(), kMegatronHeader);
  }
  const auto version = load<std::uint64_t>(idx_, 9);
  if (version != kMegatronVersion) {
    fail(Exit::Data, "{}: version {} at bytes 9..16 is not supported (this program reads {})", idx_path_,
         version, kMegatronVersion);
  }
  const auto code = load<std::uint8_t>(idx_, 17);
  const auto type = token_type(code);
  if (!type) {
    fail(Exit::Data, "{}: type code {} at byte 17 is not one of whole numbers (1, 2, 3, 4, 5, 8)", idx_path_,
         int{code});
  }
  sequences_ = load<std::uint64_t>(idx_, 18);
  listed_ = load<std::uint64_t>(idx_, 26);
  tokens_ = {bin_.data(), *type, bin_.size() / token_width(*type)};
  check_sizes();
  lengths_at_ = kMegatronHeader;
  bytes_at_ = lengths_at_ + 4 * sequences_;
  documents_at_ = bytes_at_ + 8 * sequences_;
  const std::uint64_t last = sequences_ - 1;
  const std::uint64_t promised =
      sequence_bytes(last) + token_width(*type) * load<std::uint32_t>(idx_, lengths_at_ + 4 * last);
  if (promised != bin_.size() || sequence_bytes(0) != 0) {
    fail(Exit::Data, "{}: {}: {} promises {} bytes in {} sequences, the file has {}; copy both again",
         bin_path_, bin_.size() < promised ? "truncated" : "wrong size", idx_path_, promised, sequences_,
         bin_.size());
  }
  documents_ = listed_ == 0 ? 1 : listed_;
  const std::uint64_t closing =
      listed_ == 0 ? 0 : load<std::uint64_t>(idx_, documents_at_ + 8 * (listed_ - 1));
  if (listed_ > 1 && closing == sequences_) --documents_;
  const std::uint64_t parts[] = {sampled_hash(idx_.data(), idx_.size()),
                                 sampled_hash(bin_.data(), bin_.size()), tokenizer.fingerprint()};
  fingerprint_ = xxh3(parts, sizeof(parts));
}

void MegatronTokens::check_sizes() const {
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 56;  // keeps the arithmetic from wrapping
  const bool sane = sequences_ <= kLimit && listed_ <= kLimit;
  const std::uint64_t promised = sane ? kMegatronHeader + 12 * sequences_ + 8 * listed_ : 0;
  if (idx_.size() != promised) {
    fail(Exit::Data,
         "{}: {}: the header promises {} bytes for {} sequences and {} documents, the file has {}; copy this "
         "file again",
         idx_path_, idx_.size() < promised ? "truncated" : "wrong size", promised, sequences_, listed_,
         idx_.size());
  }
  if (sequences_ == 0 || bin_.size() == 0) fail(Exit::Data, "{}: empty: it holds no tokens", bin_path_);
}

std::uint64_t MegatronTokens::sequence_bytes(std::uint64_t i) const {
  return load<std::uint64_t>(idx_, bytes_at_ + 8 * i);
}

std::uint64_t MegatronTokens::document_start(std::uint64_t list) const {
  if (listed_ == 0) return 0;
  const auto sequence = load<std::uint64_t>(idx_, documents_at_ + 8 * list);
  return sequence >= sequences_ ? size()
                                : std::min(size(), sequence_bytes(sequence) / token_width(tokens_.type));
}

void MegatronTokens::read(std::uint64_t offset, std::size_t n, std::int32_t* out) const {
  tokens_.read(offset, n, vocab_size(), out, bin_path_, kForeignAdvice);
}

std::uint64_t MegatronTokens::next_document(std::uint64_t from) const {
  if (from == 0 || from >= size()) return std::min(from, size());
  const auto start = [this](std::uint64_t i) { return document_start(i); };
  const std::uint64_t i = first_at_least(documents_, from, start);
  return i == documents_ ? size() : std::max(from, document_start(i));
}

std::uint64_t MegatronTokens::previous_document(std::uint64_t at) const {
  if (at >= size()) at = size() - 1;
  const auto start = [this](std::uint64_t i) { return document_start(i); };
  const std::uint64_t after = first_at_least(documents_, at + 1, start);
  return after == 0 ? 0 : std::min(at, document_start(after - 1));
}

void MegatronTokens::document(std::uint64_t index, std::uint64_t& begin, std::uint64_t& end) const {
  if (index >= documents()) fail(Exit::Data, "{}: document {} of {}", name(), index, documents());
  begin = index == 0 ? 0 : document_start(index);
  end = index + 1 == documents_ ? size() : std::max(begin, document_start(index + 1));
}

std::vector<StoredFile> MegatronTokens::files() const {
  return {{bin_path_, size(), documents_, token_width(tokens_.type), bytes()}};
}

std::vector<Damage> MegatronTokens::damage(
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) const {
  std::vector<Damage> found;
  scan_index(found);
  const auto report = [&](std::uint64_t done) {
    if (progress) progress(idx_.size() + done, bytes());
  };
  scan_foreign(tokens_, vocab_size(), 0, bin_path_, report, found);
  return found;
}

// The first thing wrong in each of the lists: what follows it is wrong as well.
void MegatronTokens::scan_index(std::vector<Damage>& out) const {
  std::uint64_t expect = 0;
  for (std::uint64_t i = 0; i < sequences_; ++i) {
    const auto length = load<std::int32_t>(idx_, lengths_at_ + 4 * i);
    const std::uint64_t begin = sequence_bytes(i), at = bytes_at_ + 8 * i;
    if (begin != expect || length < 0) {
      out.push_back(
          {idx_path_, at, at + 8,
           format("{}: bytes {}..{}: sequence {} of {} tokens begins at byte {} of the .bin, not at "
                  "{} where the one before ends; build the index again",
                  idx_path_, at, at + 7, i, length, begin, expect)});
      break;
    }
    expect = begin + token_width(tokens_.type) * static_cast<std::uint64_t>(length);
  }
  std::uint64_t before = 0;
  for (std::uint64_t i = 0; i < listed_; ++i) {
    const std::uint64_t at = documents_at_ + 8 * i, here = load<std::uint64_t>(idx_, at);
    if (here < before || here > sequences_ || (i == 0 && here != 0)) {
      out.push_back(
          {idx_path_, at, at + 8,
           format("{}: bytes {}..{}: document {} begins with sequence {} of {}, out of order; build "
                  "the index again",
                  idx_path_, at, at + 7, i, here, sequences_)});
      break;
    }
    before = here;
  }
}

}  // namespace rt::data
