#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "rt/data/tokenizer.h"

namespace rt::data {

struct WriterOptions {
  std::uint64_t shard_tokens = std::uint64_t{1} << 27;  // a shard is closed when it holds this many
  bool overwrite = false;                               // replace an existing token directory
  std::string description{};                            // kept in the index
};

// Writes a token directory. All files go to `<dir>.partial` and reach `dir` by one rename in finish(), so
// `dir` is either absent, what it was before, or complete. What a killed run left in `<dir>.partial` is
// thrown away by the next one; a run still alive keeps others out. Equal calls write equal bytes. Errors:
// Exit::Data.
class TokenSetWriter {
 public:
  TokenSetWriter(const std::filesystem::path& dir, const Tokenizer& tokenizer, const WriterOptions& options);
  ~TokenSetWriter();  // without finish(): removes what was written
  TokenSetWriter(const TokenSetWriter&) = delete;
  TokenSetWriter& operator=(const TokenSetWriter&) = delete;

  void begin_document();  // the next token starts a document
  void append(std::span<const std::int32_t> ids);
  std::uint64_t tokens() const;
  std::uint64_t documents() const;  // an empty document is none
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rt::data
