#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/token_array.h"
#include "rt/core/mapped_file.h"
#include "rt/data/stored_tokens.h"

// "binidx", the indexed data set of Megatron-LM, GPT-NeoX and RWKV-LM (reference rwkv.md 3.1), little-endian.
// X.bin is the tokens of all sequences, one after another. X.idx:
//   0   char[9]  MMIDIDX\0\0
//   9   u64      version, 1
//   17  u8       type of a token
//   18  u64      sequences
//   26  u64      entries of the document list
//   34  i32[sequences]  tokens of each
//       i64[sequences]  byte of X.bin at which each begins
//       i64[documents]  number of the sequence each begins with; the writers close the list with the
//                       number of sequences
// Nothing in the index is aligned.
namespace rt::data {

inline constexpr char kMegatronMagic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
inline constexpr std::uint64_t kMegatronVersion = 1, kMegatronHeader = 34;

bool is_megatron_index(const std::filesystem::path& path);  // by its first bytes

class MegatronTokens final : public StoredTokens {
 public:
  // `stem`: X. Opening checks the header, both sizes, and that the sequences fill X.bin; damage() the rest.
  MegatronTokens(const std::filesystem::path& stem, const Tokenizer& tokenizer);

  std::string name() const override { return stem_; }
  std::uint64_t size() const override { return tokens_.size; }
  std::uint64_t fingerprint() const override { return fingerprint_; }
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const override;
  std::uint64_t next_document(std::uint64_t from) const override;
  std::uint64_t previous_document(std::uint64_t at) const override;

  std::string_view kind() const override { return "megatron"; }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  std::uint64_t bytes() const override { return idx_.size() + bin_.size(); }
  std::vector<StoredFile> files() const override;
  std::uint64_t documents() const override { return documents_; }
  void document(std::uint64_t index, std::uint64_t& begin, std::uint64_t& end) const override;
  std::vector<Damage> damage(
      const std::function<void(std::uint64_t, std::uint64_t)>& progress = {}) const override;

 private:
  std::uint64_t sequence_bytes(std::uint64_t i) const;     // byte of X.bin where it begins
  std::uint64_t document_start(std::uint64_t list) const;  // token offset, at most size()
  void check_sizes() const;
  void scan_index(std::vector<Damage>& out) const;

  std::string stem_, bin_path_, idx_path_;
  const Tokenizer* tokenizer_;
  MappedFile idx_, bin_;
  TokenArray tokens_;
  std::uint64_t sequences_ = 0, listed_ = 0, documents_ = 0;
  std::uint64_t lengths_at_ = 0, bytes_at_ = 0, documents_at_ = 0;  // of the three lists in X.idx
  std::uint64_t fingerprint_ = 0;
};

}  // namespace rt::data
