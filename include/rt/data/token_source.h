#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rt::data {

// A flat sequence of token ids that knows where its documents begin. The first token of any source begins a
// document, also where a range was cut out of the middle of one. Reading is safe from many threads.
class TokenSource {
 public:
  virtual ~TokenSource() = default;

  virtual std::string name() const = 0;  // for messages and logs
  virtual std::uint64_t size() const = 0;
  virtual std::int64_t vocab_size() const = 0;
  virtual std::uint64_t tokenizer_fingerprint() const = 0;
  virtual std::uint64_t fingerprint() const = 0;  // of the data: equal sources give equal values
  // Tokens [offset, offset + n). Every id written is in [0, vocab_size()): anything else throws Exit::Data.
  virtual void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const = 0;
  virtual std::uint64_t next_document(std::uint64_t from) const = 0;    // smallest start >= from, or size()
  virtual std::uint64_t previous_document(std::uint64_t at) const = 0;  // largest start <= at
  // 1 where a token of [offset, offset + n) is to be predicted in training, 0 where it only is context. All
  // are unless the data has a loss mask, whose fingerprint is then not 0.
  virtual void fill_trained(std::uint64_t offset, std::size_t n, std::uint8_t* mask) const;
  virtual std::uint64_t mask_fingerprint() const { return 0; }

  std::vector<std::uint64_t> document_starts(std::uint64_t offset,
                                             std::uint64_t n) const;  // those in the range
  void fill_resets(std::uint64_t offset, std::size_t n,
                   std::uint8_t* mask) const;  // 1 where a document starts
};

// Tokens in memory, for tests and small data.
class MemoryTokens final : public TokenSource {
 public:
  // `starts`: ascending positions of document starts; 0 is added where it is missing.
  MemoryTokens(std::vector<std::int32_t> tokens, std::vector<std::uint64_t> starts, std::int64_t vocab_size,
               std::uint64_t tokenizer_fingerprint = 0);
  std::string name() const override { return "memory"; }
  std::uint64_t size() const override { return tokens_.size(); }
  std::int64_t vocab_size() const override { return vocab_size_; }
  std::uint64_t tokenizer_fingerprint() const override { return tokenizer_fingerprint_; }
  std::uint64_t fingerprint() const override;
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const override;
  std::uint64_t next_document(std::uint64_t from) const override;
  std::uint64_t previous_document(std::uint64_t at) const override;

 private:
  std::vector<std::int32_t> tokens_;
  std::vector<std::uint64_t> starts_;
  std::int64_t vocab_size_;
  std::uint64_t tokenizer_fingerprint_;
};

// The part [begin, end) of another source, which must outlive it.
class TokenRange final : public TokenSource {
 public:
  TokenRange(const TokenSource& source, std::uint64_t begin, std::uint64_t end);
  std::string name() const override;
  std::uint64_t size() const override { return end_ - begin_; }
  std::int64_t vocab_size() const override { return source_->vocab_size(); }
  std::uint64_t tokenizer_fingerprint() const override { return source_->tokenizer_fingerprint(); }
  std::uint64_t fingerprint() const override;
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const override;
  std::uint64_t next_document(std::uint64_t from) const override;
  std::uint64_t previous_document(std::uint64_t at) const override;
  void fill_trained(std::uint64_t offset, std::size_t n, std::uint8_t* mask) const override {
    source_->fill_trained(begin_ + offset, n, mask);
  }
  std::uint64_t mask_fingerprint() const override { return source_->mask_fingerprint(); }

 private:
  const TokenSource* source_;
  std::uint64_t begin_, end_;
};

// Where to cut off the last `fraction` of the tokens for validation: training is [0, result), validation the
// rest. With several documents the cut is at the document start nearest to the wanted place (the earlier one
// of two), so that no document is in both parts; a single document is cut at floor(size * (1 - fraction)).
// Exit::Config unless 0 < fraction < 1, Exit::Data when a part would be empty.
std::uint64_t split_point(const TokenSource& source, double fraction);

}  // namespace rt::data
