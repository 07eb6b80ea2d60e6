#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "rt/data/token_source.h"
#include "rt/data/tokenizer.h"

namespace rt::data {

// One place where a file is damaged: its bytes [begin, end), and the whole line for the user.
struct Damage {
  std::string file;
  std::uint64_t begin = 0, end = 0;
  std::string what;
};

struct StoredFile {
  std::string path;
  std::uint64_t tokens = 0, documents = 0;
  std::uint32_t token_bytes = 0;  // of one token on disk
  std::uint64_t bytes = 0;        // of the file, its index included
};

// Tokens in files, mapped and not read on open, in whatever format: what the tools of `rwkv data` show, check
// and copy. Errors are Exit::Data, one line.
class StoredTokens : public TokenSource {
 public:
  virtual std::string_view kind() const = 0;  // "rtok" | "megatron" | "llm.c" | "llmq"
  virtual const Tokenizer& tokenizer() const = 0;
  virtual std::string_view description() const { return {}; }  // where the data came from; may be empty
  virtual std::uint64_t bytes() const = 0;                     // of all files
  virtual std::vector<StoredFile> files() const = 0;
  virtual std::uint64_t documents() const = 0;
  // Tokens [begin, end) of document `index`.
  virtual void document(std::uint64_t index, std::uint64_t& begin, std::uint64_t& end) const = 0;
  // Reads every byte. `progress(done, total)` in bytes; may be empty.
  virtual std::vector<Damage> damage(
      const std::function<void(std::uint64_t, std::uint64_t)>& progress = {}) const = 0;

  std::int64_t vocab_size() const override { return tokenizer().vocab_size(); }
  std::uint64_t tokenizer_fingerprint() const override { return tokenizer().fingerprint(); }
  std::string document_text(std::uint64_t index) const;
  void verify() const;  // throws the first damage and says how many files are affected
};

}  // namespace rt::data
