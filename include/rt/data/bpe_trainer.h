#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rt/data/prepare.h"

namespace rt::data {

struct BpeTrainOptions {
  std::int64_t vocab = 32768;                         // ids, with the special tokens and the 256 bytes
  std::string pattern = "gpt2";                       // how text is split: gpt2, llama3, qwen2
  std::vector<std::string> special{"<|endoftext|>"};  // they have the first ids
  std::uint64_t min_count = 2;                        // a pair seen less often is no token
};

// Learns a byte-level BPE: of all neighbours within pre-tokens the pair seen most becomes a token, again and
// again; of equal counts the pair of the lower ids. Deterministic, and the tokens of Hugging Face's
// BpeTrainer. Memory is that of the different pre-tokens.
class BpeTrainer {
 public:
  explicit BpeTrainer(const BpeTrainOptions& options);  // Exit::Config when they make no sense
  ~BpeTrainer();
  // Text of one document, to which `last` belongs the end. Returns how much of it was counted: what is left
  // comes again with more behind it (Tokenizer::encode_some).
  std::size_t add(std::string_view text, bool last = true);
  std::uint64_t words() const { return counts_.size(); }  // different pre-tokens so far
  // A tokenizer.json that Hugging Face's library reads too. It has fewer tokens than asked for when no pair
  // is left that was seen often enough. Exit::Data when there was no text.
  std::string train() const;

 private:
  BpeTrainOptions options_;
  std::unique_ptr<class Splitter> splitter_;
  std::unordered_map<std::string, std::uint64_t> counts_;
};

struct BpeTrainReport {
  std::string json;
  std::int64_t tokens = 0;
  std::uint64_t files = 0, bytes = 0, documents = 0, words = 0, bad_lines = 0;
};
// From files and directories, read as prepare() does.
BpeTrainReport train_bpe(const std::vector<std::filesystem::path>& inputs, const BpeTrainOptions& options,
                         const PrepareOptions& reading);

}  // namespace rt::data
