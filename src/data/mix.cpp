#include "rt/data/mix.h"

#include <cmath>
#include <optional>

#include "data/hash.h"
#include "rt/core/error.h"
#include "rt/data/convert.h"
#include "rt/data/permutation.h"

namespace rt::data {
namespace {

// The documents of one part, epoch after epoch.
class Documents {
 public:
  Documents(const StoredTokens& source, std::uint64_t seed)
      : source_(&source), seed_(seed), order_(source.documents(), seed, 0) {}

  bool at_end() const { return at_ == order_.size(); }  // of an epoch
  std::uint64_t next() {
    if (at_end()) {
      order_ = Permutation(order_.size(), seed_, ++epoch_);
      at_ = 0;
    }
    return order_(at_++);
  }
  double epochs() const {
    return static_cast<double>(epoch_) + static_cast<double>(at_) / static_cast<double>(order_.size());
  }
  const StoredTokens& source() const { return *source_; }

 private:
  const StoredTokens* source_;
  std::uint64_t seed_, epoch_ = 0, at_ = 0;
  Permutation order_;
};

void check_parts(const std::vector<MixPart>& parts) {
  if (parts.empty()) fail(Exit::Config, "mix: there is nothing to mix");
  for (const MixPart& p : parts) {
    if (!(p.weight > 0) || !std::isfinite(p.weight)) {
      fail(Exit::Config, "mix: the weight {} of {} is not a positive number", p.weight, p.source->name());
    }
    if (p.source->size() == 0) fail(Exit::Data, "{}: empty: it holds no tokens", p.source->name());
    const std::uint64_t first = parts.front().source->tokenizer_fingerprint();
    if (p.source->tokenizer_fingerprint() != first) {
      fail(Exit::Data, "{} was tokenized with {} ({}), {} with {} ({}); prepare both with one tokenizer",
           p.source->name(), p.source->tokenizer().type(), hex16(p.source->tokenizer_fingerprint()),
           parts.front().source->name(), parts.front().source->tokenizer().type(), hex16(first));
    }
  }
}

}  // namespace

std::vector<MixShare> mix(const std::vector<MixPart>& parts, const std::filesystem::path& dir,
                          const MixOptions& options) {
  check_parts(parts);
  std::vector<Documents> documents;
  for (std::size_t i = 0; i < parts.size(); ++i) documents.emplace_back(*parts[i].source, options.seed + i);
  std::vector<MixShare> shares(parts.size());
  TokenSetWriter writer(dir, parts.front().source->tokenizer(), options.writer);
  constexpr std::uint64_t kReport = 1'000'000;
  for (std::uint64_t reported = 0; options.tokens == 0 || writer.tokens() < options.tokens;) {
    std::size_t next = 0;
    const auto done = [&](std::size_t i) { return static_cast<double>(shares[i].tokens) / parts[i].weight; };
    for (std::size_t i = 1; i < parts.size(); ++i) next = done(i) < done(next) ? i : next;
    if (options.tokens == 0 && documents[next].at_end()) break;
    const std::uint64_t before = writer.tokens(), document = documents[next].next();
    append_documents(*parts[next].source, document, document + 1, writer);
    shares[next].documents += writer.tokens() > before;
    shares[next].tokens += writer.tokens() - before;
    if (options.progress && writer.tokens() - reported >= kReport) {
      options.progress(reported = writer.tokens());
    }
  }
  writer.finish();
  for (std::size_t i = 0; i < parts.size(); ++i) shares[i].epochs = documents[i].epochs();
  return shares;
}

}  // namespace rt::data
