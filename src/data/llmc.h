#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/token_array.h"
#include "rt/data/stored_tokens.h"

// Token files with a header of 256 i32, then the tokens up to the end, little-endian:
//   llm.c   header[0] 20240520, [1] version 1, u16 (GPT-2); or 20240801, version 7, u32 (Llama 3); [2] tokens
//   llmq    header[0..1] "BIN.TOK\n", [2] version 1 or 2, [3] bytes of a token, 4, [4] tokens; masks may
//           follow the tokens
// They have no list of documents. llm.c's own data begins each document with the tokenizer's end-of-text
// token (50256, 128000), so where the vocabulary is that of GPT-2 or Llama 3 documents begin there; in any
// other case a file is one document.
namespace rt::data {

inline constexpr std::uint64_t kLlmcHeader = 1024;  // bytes
inline constexpr std::int32_t kLlmcGpt2 = 20240520, kLlmcLlama3 = 20240801;

bool is_llmc_file(const std::filesystem::path& path);  // by its first bytes

class LlmcTokens final : public StoredTokens {
 public:
  // `files`, at least one, are read as one sequence in this order. Opening checks headers and sizes.
  LlmcTokens(std::string name, const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer);
  ~LlmcTokens() override;

  std::string name() const override { return name_; }
  std::uint64_t size() const override { return begin_.back(); }
  std::uint64_t fingerprint() const override { return fingerprint_; }
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const override;
  // The first question about documents in a file reads all of that file.
  std::uint64_t next_document(std::uint64_t from) const override;
  std::uint64_t previous_document(std::uint64_t at) const override;

  std::string_view kind() const override { return kind_; }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  std::uint64_t bytes() const override;
  std::vector<StoredFile> files() const override;  // reads them all, to count documents
  std::uint64_t documents() const override;
  void document(std::uint64_t index, std::uint64_t& begin, std::uint64_t& end) const override;
  std::vector<Damage> damage(
      const std::function<void(std::uint64_t, std::uint64_t)>& progress = {}) const override;

 private:
  struct File;
  const std::vector<std::uint64_t>& starts(std::size_t file) const;  // token offsets in the file

  std::string name_;
  std::string_view kind_;
  const Tokenizer* tokenizer_;
  std::vector<std::unique_ptr<File>> files_;
  std::vector<std::uint64_t> begin_{0};  // (files + 1) running totals
  std::uint64_t fingerprint_ = 0;
};

}  // namespace rt::data
