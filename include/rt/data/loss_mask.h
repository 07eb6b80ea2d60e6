#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "rt/data/token_set.h"

namespace rt::data {

// Which tokens of a token directory are trained on, as prepared from conversations: a file of one bit per
// token, in the order of the tokens, beside the shards. It names the shards it was made with, so that it
// cannot be taken for the mask of other tokens, and all of it is under checksums. Its format is at the top of
// loss_mask.cpp. Errors are Exit::Data, one line.
class LossMask {
 public:
  static bool present(const std::filesystem::path& dir);
  explicit LossMask(const TokenSet& set);  // of its directory; checks all but the bits themselves
  ~LossMask();
  LossMask(LossMask&&) noexcept;

  std::uint64_t trained() const;                                             // tokens
  std::uint64_t fingerprint() const;                                         // of its contents, never 0
  void fill(std::uint64_t offset, std::size_t n, std::uint8_t* mask) const;  // 1 where trained on, else 0
  void verify() const;                                                       // reads every byte

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Writes it, from the first token on: memory is one block of bits. TokenSetWriter has one.
class LossMaskWriter {
 public:
  explicit LossMaskWriter(const std::filesystem::path& dir);
  ~LossMaskWriter();
  LossMaskWriter(LossMaskWriter&&) noexcept;

  void append(std::span<const std::uint8_t> trained);  // 0 or 1 each
  void append(std::uint64_t tokens, bool trained);
  std::uint64_t tokens() const;  // so far
  // `roots`: TokenFile::root() of the directory's shards, in order.
  void finish(std::span<const std::uint64_t> roots);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A token directory together with its loss mask; it must outlive this.
class MaskedTokens final : public TokenSource {
 public:
  explicit MaskedTokens(const TokenSet& set) : set_(&set), mask_(set) {}
  std::string name() const override { return set_->name(); }
  std::uint64_t size() const override { return set_->size(); }
  std::int64_t vocab_size() const override { return set_->vocab_size(); }
  std::uint64_t tokenizer_fingerprint() const override { return set_->tokenizer_fingerprint(); }
  std::uint64_t fingerprint() const override { return set_->fingerprint(); }
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const override {
    set_->read(offset, n, out);
  }
  std::uint64_t next_document(std::uint64_t from) const override { return set_->next_document(from); }
  std::uint64_t previous_document(std::uint64_t at) const override { return set_->previous_document(at); }
  void fill_trained(std::uint64_t offset, std::size_t n, std::uint8_t* mask) const override {
    mask_.fill(offset, n, mask);
  }
  std::uint64_t mask_fingerprint() const override { return mask_.fingerprint(); }
  const LossMask& mask() const { return mask_; }

 private:
  const TokenSet* set_;
  LossMask mask_;
};

}  // namespace rt::data
