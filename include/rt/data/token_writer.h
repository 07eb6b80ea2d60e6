#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "rt/data/tokenizer.h"

namespace rt::data {

struct WriterOptions {
  std::uint64_t shard_tokens = std::uint64_t{1} << 27;  // a shard is closed when it holds this many,
  std::uint64_t shard_documents = std::uint64_t{1}
                                  << 23;  // or this many: their starts are in memory until then, 8 bytes each
  bool overwrite = false;                 // replace an existing token directory
  std::string description{};              // kept in the index
};

// What a writer that is killed needs to go on later. A job writes the same tokens whenever it is run.
struct WriterJob {
  std::string name;                       // equal for equal jobs; empty: nothing is kept
  std::function<std::string()> position;  // asked when a shard is complete: where the job is now
};

// Writes a token directory. All files go to `<dir>.partial` and reach `dir` by one rename in finish(), so
// `dir` is either absent, what it was before, or complete. What a killed run left in `<dir>.partial` is
// thrown away by the next one, unless both are the same job: then its finished shards are kept, and the job
// goes on behind them. A run still alive keeps others out. Equal calls write equal bytes. Errors: Exit::Data.
class TokenSetWriter {
 public:
  TokenSetWriter(const std::filesystem::path& dir, const Tokenizer& tokenizer, const WriterOptions& options,
                 WriterJob job = {});
  ~TokenSetWriter();  // without finish(): removes what was written, but for a job's finished shards
  TokenSetWriter(const TokenSetWriter&) = delete;
  TokenSetWriter& operator=(const TokenSetWriter&) = delete;

  // What the job said when it finished the last shard that was found; empty: begin at the beginning.
  const std::string& resumed_position() const;
  const std::string& other_job() const;  // whose finished shards were thrown away; empty: nobody's
  std::size_t finished_shards() const;

  void begin_document();  // the next token starts a document
  void append(std::span<const std::int32_t> ids);
  // `trained`: 1 for each id that is to be predicted in training, 0 for context; the directory then has a
  // loss mask, in which what came by the other append is trained on. (Empty: as the other.)
  void append(std::span<const std::int32_t> ids, std::span<const std::uint8_t> trained);
  std::uint64_t tokens() const;     // those of shards found included
  std::uint64_t documents() const;  // an empty document is none
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rt::data
