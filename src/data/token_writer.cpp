#include "rt/data/token_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <vector>

#include "data/fs_errors.h"
#include "data/index_file.h"
#include "data/shard_writer.h"
#include "rt/core/error.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

constexpr char kLockName[] = ".lock";

// Owns `<dir>.partial` while it lives. The lock dies with the process, so a killed run never blocks the next.
class PartialDir {
 public:
  explicit PartialDir(const fs::path& target) : path_(target.string() + ".partial") {
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) fail(Exit::Data, "{}: cannot create directory: {}", path_.string(), error.message());
    lock_ = ::open((path_ / kLockName).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (lock_ < 0)
      fail(Exit::Data, "{}: cannot create the lock file: {}", path_.string(), std::strerror(errno));
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
      ::close(lock_);
      fail(Exit::Data, "{}: another process is writing here; wait for it or choose another output",
           path_.string());
    }
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename() != kLockName) fs::remove_all(entry.path());
    }
  }
  ~PartialDir() {
    std::error_code ignored;
    if (!moved_) fs::remove_all(path_, ignored);
    ::close(lock_);
  }
  PartialDir(const PartialDir&) = delete;
  PartialDir& operator=(const PartialDir&) = delete;
  const fs::path& path() const { return path_; }

  void move_to(const fs::path& target, bool replace) {
    fs::remove(path_ / kLockName);
    sync_directory(path_);
    const fs::path old = target.string() + ".old";
    const bool occupied = replace && fs::exists(target / kIndexName);
    if (occupied) {
      fs::remove_all(old);
      fs::rename(target, old);
    }
    std::error_code error;
    fs::rename(path_, target, error);
    if (error)
      fail(Exit::Data, "{}: cannot rename it to {}: {}", path_.string(), target.string(), error.message());
    moved_ = true;
    sync_directory(target.parent_path());
    if (occupied) fs::remove_all(old);
  }

 private:
  fs::path path_;
  int lock_ = -1;
  bool moved_ = false;
};

fs::path checked_target(const fs::path& dir, bool overwrite) {
  const fs::path target = dir.has_filename() ? dir : dir.parent_path();  // "out/" means "out"
  if (target.empty()) fail(Exit::Config, "the output directory has no name");
  if (!fs::exists(target)) return target;
  if (!fs::is_directory(target)) fail(Exit::Data, "{}: exists and is not a directory", target.string());
  if (fs::is_empty(target)) return target;
  if (!fs::exists(target / kIndexName)) {
    fail(Exit::Data, "{}: is not empty and not a token directory; choose another output", target.string());
  }
  if (!overwrite) {
    fail(Exit::Data, "{}: holds token data already; choose another output or ask to overwrite",
         target.string());
  }
  return target;
}

}  // namespace

struct TokenSetWriter::State {
  State(const fs::path& dir, const Tokenizer& tokenizer, const WriterOptions& given)
      : options(given),
        target(checked_target(dir, given.overwrite)),
        partial(target),
        vocab(tokenizer.vocab_size()),
        fingerprint(tokenizer.fingerprint()) {
    RT_CHECK(options.shard_tokens > 0, "shard_tokens must be positive");
    index.tokenizer = tokenizer_from_json(tokenizer.to_json(), "tokenizer");
    index.description = options.description;
  }

  void close_shard() {
    ShardEntry& entry = index.shards.back();
    entry.tokens = shard->tokens();
    entry.documents = shard->documents();
    entry.xxh3 = shard->finish();
    shard.reset();
  }

  void open_shard() {
    char file[32];
    std::snprintf(file, sizeof(file), "shard-%05zu.rtok", index.shards.size());
    shard.emplace(partial.path() / file, vocab, fingerprint);
    index.shards.push_back({file, 0, 0, 0});
  }

  WriterOptions options;
  fs::path target;
  PartialDir partial;
  std::int64_t vocab;
  std::uint64_t fingerprint;
  Index index;
  std::optional<ShardWriter> shard;
  bool at_start = true;  // the next token begins a document
};

TokenSetWriter::TokenSetWriter(const fs::path& dir, const Tokenizer& tokenizer, const WriterOptions& options)
    : state_(with_fs_errors([&] { return std::make_unique<State>(dir, tokenizer, options); })) {}

TokenSetWriter::~TokenSetWriter() = default;

void TokenSetWriter::begin_document() { state_->at_start = true; }

void TokenSetWriter::append(std::span<const std::int32_t> ids) {
  State& s = *state_;
  for (const std::int32_t id : ids) RT_CHECK(id >= 0 && id < s.vocab, "token {} >= vocab {}", id, s.vocab);
  while (!ids.empty()) {
    if (!s.shard) s.open_shard();
    if (s.at_start) {
      s.shard->begin_document();
      ++s.index.documents;
      s.at_start = false;
    }
    const auto n = static_cast<std::size_t>(
        std::min<std::uint64_t>(ids.size(), s.options.shard_tokens - s.shard->tokens()));
    s.shard->append(ids.first(n));
    s.index.tokens += n;
    ids = ids.subspan(n);
    if (s.shard->tokens() == s.options.shard_tokens) s.close_shard();
  }
}

std::uint64_t TokenSetWriter::tokens() const { return state_->index.tokens; }
std::uint64_t TokenSetWriter::documents() const { return state_->index.documents; }

void TokenSetWriter::finish() {
  State& s = *state_;
  if (s.index.tokens == 0)
    fail(Exit::Data, "{}: there is no text to write: the inputs are empty", s.target.string());
  if (s.shard) s.close_shard();
  write_index(s.partial.path(), s.index);
  with_fs_errors([&] { s.partial.move_to(s.target, s.options.overwrite); });
}

}  // namespace rt::data
