#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rt/data/stored_tokens.h"

namespace rt::data {

// One shard file, mapped. Opening checks header, size and block table; the payload is checked by damage().
class TokenFile {
 public:
  explicit TokenFile(const std::filesystem::path& path);
  ~TokenFile();
  TokenFile(TokenFile&&) noexcept;

  const std::string& path() const { return path_; }
  std::uint64_t size() const;  // tokens
  std::uint64_t documents() const;
  std::int64_t vocab_size() const;
  std::uint32_t token_bytes() const;
  std::uint64_t tokenizer_fingerprint() const;
  std::uint64_t root() const;  // the shard's xxh3 in the index
  std::uint64_t file_bytes() const;
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const;
  std::uint64_t next_document(std::uint64_t from) const;               // or size()
  bool previous_document(std::uint64_t at, std::uint64_t& out) const;  // false: no start at or before `at`
  std::uint64_t document_begin(std::uint64_t index) const;
  // Reads every byte. `progress` gets bytes done so far; may be empty.
  std::vector<Damage> damage(const std::function<void(std::uint64_t)>& progress = {}) const;

 private:
  struct Parts;
  void scan_starts(std::vector<Damage>& out) const;
  std::string path_;
  std::unique_ptr<Parts> parts_;
};

// A directory made by TokenSetWriter: index.json and its shards. Errors are Exit::Data, one line.
class TokenSet final : public StoredTokens {
 public:
  explicit TokenSet(const std::filesystem::path& dir);

  std::string name() const override { return dir_.string(); }
  std::uint64_t size() const override { return begin_.back(); }
  std::uint64_t fingerprint() const override { return fingerprint_; }
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const override;
  std::uint64_t next_document(std::uint64_t from) const override;
  std::uint64_t previous_document(std::uint64_t at) const override;

  std::string_view kind() const override { return "rtok"; }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  std::string_view description() const override { return description_; }
  std::uint64_t bytes() const override;
  std::vector<StoredFile> files() const override;
  std::uint64_t documents() const override { return documents_.back(); }
  void document(std::uint64_t index, std::uint64_t& begin, std::uint64_t& end) const override;
  std::vector<Damage> damage(
      const std::function<void(std::uint64_t, std::uint64_t)>& progress = {}) const override;
  const std::vector<TokenFile>& shards() const { return shards_; }

 private:
  std::filesystem::path dir_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::uint64_t fingerprint_ = 0;
  std::string description_;
  std::vector<TokenFile> shards_;
  std::vector<std::uint64_t> begin_{0}, documents_{0};  // (shards + 1) running totals
};

}  // namespace rt::data
