#include "rt/data/token_source.h"

#include <algorithm>
#include <cstring>

#include "data/hash.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

void check_range(const TokenSource& s, std::uint64_t offset, std::size_t n) {
  RT_CHECK(offset <= s.size() && n <= s.size() - offset, "{}: tokens [{}, {} + {}) asked of {}", s.name(),
           offset, offset, n, s.size());
}

}  // namespace

std::vector<std::uint64_t> TokenSource::document_starts(std::uint64_t offset, std::uint64_t n) const {
  std::vector<std::uint64_t> starts;
  const std::uint64_t end = n > size() - std::min(offset, size()) ? size() : offset + n;
  for (std::uint64_t at = offset; at < end; ++at) {
    at = next_document(at);
    if (at < end) starts.push_back(at);
  }
  return starts;
}

void TokenSource::fill_resets(std::uint64_t offset, std::size_t n, std::uint8_t* mask) const {
  if (n == 0) return;
  std::memset(mask, 0, n);
  for (std::uint64_t at = offset; at - offset < n; ++at) {
    at = next_document(at);
    if (at - offset < n) mask[at - offset] = 1;
  }
}

void TokenSource::fill_trained(std::uint64_t, std::size_t n, std::uint8_t* mask) const {
  std::memset(mask, 1, n);
}

MemoryTokens::MemoryTokens(std::vector<std::int32_t> tokens, std::vector<std::uint64_t> starts,
                           std::int64_t vocab_size, std::uint64_t tokenizer_fingerprint)
    : tokens_(std::move(tokens)),
      starts_(std::move(starts)),
      vocab_size_(vocab_size),
      tokenizer_fingerprint_(tokenizer_fingerprint) {
  if (!tokens_.empty() && (starts_.empty() || starts_.front() != 0)) starts_.insert(starts_.begin(), 0);
  RT_CHECK(std::is_sorted(starts_.begin(), starts_.end(), std::less_equal<>{}) &&
               (starts_.empty() || starts_.back() < tokens_.size()),
           "memory: document starts must ascend and lie inside the {} tokens", tokens_.size());
  for (const std::int32_t t : tokens_) {
    RT_CHECK(t >= 0 && t < vocab_size_, "memory: token {} >= vocab {}", t, vocab_size_);
  }
}

std::uint64_t MemoryTokens::fingerprint() const {
  const std::uint64_t starts = xxh3(starts_.data(), starts_.size() * sizeof(starts_[0]));
  return combine(xxh3(tokens_.data(), tokens_.size() * sizeof(tokens_[0])),
                 combine(starts, tokenizer_fingerprint_));
}

void MemoryTokens::read(std::uint64_t offset, std::size_t n, std::int32_t* out) const {
  check_range(*this, offset, n);
  std::copy_n(tokens_.begin() + static_cast<std::ptrdiff_t>(offset), n, out);
}

std::uint64_t MemoryTokens::next_document(std::uint64_t from) const {
  const auto found = std::lower_bound(starts_.begin(), starts_.end(), from);
  return found == starts_.end() ? size() : *found;
}

std::uint64_t MemoryTokens::previous_document(std::uint64_t at) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), at);
  return after == starts_.begin() ? 0 : *(after - 1);
}

TokenRange::TokenRange(const TokenSource& source, std::uint64_t begin, std::uint64_t end)
    : source_(&source), begin_(begin), end_(end) {
  RT_CHECK(begin <= end && end <= source.size(), "{}: range [{}, {}) of {} tokens", source.name(), begin, end,
           source.size());
}

std::string TokenRange::name() const { return format("{}[{}, {})", source_->name(), begin_, end_); }

std::uint64_t TokenRange::fingerprint() const {
  return combine(source_->fingerprint(), combine(begin_, end_));
}

void TokenRange::read(std::uint64_t offset, std::size_t n, std::int32_t* out) const {
  check_range(*this, offset, n);
  source_->read(begin_ + offset, n, out);
}

std::uint64_t TokenRange::next_document(std::uint64_t from) const {
  if (from == 0 || from >= size()) return std::min(from, size());
  return std::min(source_->next_document(begin_ + from), end_) - begin_;
}

std::uint64_t TokenRange::previous_document(std::uint64_t at) const {
  return std::max(source_->previous_document(begin_ + at), begin_) - begin_;
}

std::uint64_t split_point(const TokenSource& source, double fraction) {
  if (!(fraction > 0.0 && fraction < 1.0)) {
    fail(Exit::Config, "validation fraction {} is not between 0 and 1", fraction);
  }
  const std::uint64_t n = source.size();
  const auto want = static_cast<std::uint64_t>(static_cast<double>(n) * (1.0 - fraction));
  const bool several = n > 1 && source.next_document(1) < n;
  std::uint64_t cut = want;
  if (several) {
    const std::uint64_t before = source.previous_document(want), after = source.next_document(want);
    const bool take_before = before > 0 && (after >= n || want - before <= after - want);
    cut = take_before ? before : after;
  }
  if (cut == 0 || cut >= n) {
    fail(Exit::Data, "{}: {} tokens cannot be split with fraction {}: one part would be empty", source.name(),
         n, fraction);
  }
  return cut;
}

}  // namespace rt::data
