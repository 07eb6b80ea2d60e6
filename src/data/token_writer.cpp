#include "rt/data/token_writer.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>
#include <vector>

#include "data/fs_errors.h"
#include "data/index_file.h"
#include "data/journal.h"
#include "data/partial_dir.h"
#include "data/shard_mask.h"
#include "data/shard_writer.h"
#include "rt/core/error.h"
#include "rt/data/loss_mask.h"
#include "rt/data/token_set.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

std::string shard_name(std::size_t index) {
  char name[32];
  std::snprintf(name, sizeof(name), "shard-%05zu.rtok", index);
  return name;
}
std::string mask_name(const std::string& shard) { return shard + ".mask"; }

// Whether the shard is there as the journal says. Its root hash pins every byte of a file that was made
// durable before the journal named it.
bool is_intact(const fs::path& dir, const FinishedShard& finished) {
  const ShardEntry& shard = finished.shard;
  if (finished.mask != 0 && !is_shard_mask(dir / mask_name(shard.file), shard.tokens, finished.mask))
    return false;
  try {
    const TokenFile file(dir / shard.file);
    return file.root() == shard.xxh3 && file.size() == shard.tokens && file.documents() == shard.documents;
  } catch (const Error&) { return false; }
}

}  // namespace

struct TokenSetWriter::State {
  State(const fs::path& dir, const Tokenizer& given_tokenizer, const WriterOptions& given,
        WriterJob given_job)
      : options(given),
        job(std::move(given_job)),
        target(checked_target(dir, given.overwrite)),
        partial(target),
        tokenizer(given_tokenizer) {
    RT_CHECK(options.shard_tokens > 0, "shard_tokens must be positive");
    RT_CHECK(options.shard_documents > 0, "shard_documents must be positive");
    index.description = options.description;
    take_over();
  }

  ~State() {
    std::error_code ignored;
    if (shard) fs::remove(partial.path() / index.shards.back().file, ignored);  // room on a disk that is full
  }

  // Keeps what the same job left behind, and nothing else.
  void take_over() {
    JournalContent found = read_journal(partial.path());
    if (found.job != job.name) {
      if (!found.shards.empty()) other_job = found.job;
      found = {job.name, {}};
    }
    std::set<std::string> kept;
    std::size_t intact = 0;
    for (const FinishedShard& f : found.shards) {
      if (f.shard.file != shard_name(intact) || !is_intact(partial.path(), f)) break;
      ++intact;
      kept.insert(f.shard.file);
      if (f.mask != 0) {
        kept.insert(mask_name(f.shard.file));
        masked.insert(f.shard.file);
      }
      index.shards.push_back(f.shard);
      index.tokens += f.shard.tokens;
      index.documents += f.shard.documents;
      position = f.position;
    }
    found.shards.resize(intact);
    if (intact > 0) {
      at_start = false;  // what begins at a shard's border is begun again by the job
      partial.keep();
    }
    kept.insert(kJournalName);
    partial.remove_all_but(job.name.empty() ? std::set<std::string>{} : kept);
    if (!job.name.empty()) journal.emplace(partial.path(), found);
  }

  void close_shard() {
    ShardEntry& entry = index.shards.back();
    entry.tokens = shard->tokens();
    entry.documents = shard->documents();
    entry.xxh3 = shard->finish();
    std::uint64_t mask_hash = 0;
    if (mask.used()) {
      mask_hash = mask.save(partial.path() / mask_name(entry.file), entry.tokens);
      masked.insert(entry.file);
    }
    if (journal) {
      sync_directory(partial.path());
      journal->add({entry, job.position(), mask_hash});
      partial.keep();
    }
    shard.reset();
  }

  void open_shard() {
    const std::string file = shard_name(index.shards.size());
    shard.emplace(partial.path() / file, tokenizer.vocab, tokenizer.fingerprint);
    index.shards.push_back({file, 0, 0, 0});
  }

  // `trained`: as long as ids, or empty.
  void append(std::span<const std::int32_t> ids, std::span<const std::uint8_t> trained) {
    while (!ids.empty()) {
      if (shard && at_start && shard->documents() == options.shard_documents) close_shard();
      if (!shard) open_shard();
      if (at_start) {
        shard->begin_document();
        ++index.documents;
        at_start = false;
      }
      const auto n = static_cast<std::size_t>(
          std::min<std::uint64_t>(ids.size(), options.shard_tokens - shard->tokens()));
      if (!trained.empty()) {
        mask.append(trained.first(n), shard->tokens());
        trained = trained.subspan(n);
      }
      shard->append(ids.first(n));
      index.tokens += n;
      ids = ids.subspan(n);
      if (shard->tokens() == options.shard_tokens) close_shard();
    }
  }

  // The loss mask of all shards, if any has one.
  void join_masks() {
    if (masked.empty()) return;
    LossMaskWriter all(partial.path());
    std::vector<std::uint64_t> roots;
    for (const ShardEntry& entry : index.shards) {
      roots.push_back(entry.xxh3);
      if (masked.contains(entry.file)) {
        append_shard_mask(all, partial.path() / mask_name(entry.file), entry.tokens);
      } else {
        all.append(entry.tokens, true);
      }
    }
    all.finish(roots);
  }

  WriterOptions options;
  WriterJob job;
  fs::path target;
  PartialDir partial;
  TokenizerRecord tokenizer;
  Index index;
  std::optional<ShardWriter> shard;
  std::optional<Journal> journal;
  std::string position, other_job;
  bool at_start = true;          // the next token begins a document
  ShardMask mask;                // of the shard
  std::set<std::string> masked;  // shards that were closed with one
};

TokenSetWriter::TokenSetWriter(const fs::path& dir, const Tokenizer& tokenizer, const WriterOptions& options,
                               WriterJob job)
    : state_(
          with_fs_errors([&] { return std::make_unique<State>(dir, tokenizer, options, std::move(job)); })) {}

TokenSetWriter::~TokenSetWriter() = default;

void TokenSetWriter::begin_document() { state_->at_start = true; }

void TokenSetWriter::append(std::span<const std::int32_t> ids) { append(ids, {}); }

void TokenSetWriter::append(std::span<const std::int32_t> ids, std::span<const std::uint8_t> trained) {
  State& s = *state_;
  RT_CHECK(trained.empty() || ids.size() == trained.size(), "{} tokens with {} marks", ids.size(),
           trained.size());
  std::uint32_t highest = 0;  // a negative one is higher than any vocabulary
  for (const std::int32_t id : ids) highest = std::max(highest, static_cast<std::uint32_t>(id));
  RT_CHECK(ids.empty() || highest < s.tokenizer.vocab, "token {} >= vocab {}",
           static_cast<std::int32_t>(highest), s.tokenizer.vocab);
  s.append(ids, trained);
}

const std::string& TokenSetWriter::resumed_position() const { return state_->position; }
const std::string& TokenSetWriter::other_job() const { return state_->other_job; }
std::size_t TokenSetWriter::finished_shards() const {
  return state_->index.shards.size() - (state_->shard ? 1 : 0);
}
std::uint64_t TokenSetWriter::tokens() const { return state_->index.tokens; }
std::uint64_t TokenSetWriter::documents() const { return state_->index.documents; }

void TokenSetWriter::finish() {
  State& s = *state_;
  if (s.index.tokens == 0)
    fail(Exit::Data, "{}: there is no text to write: the inputs are empty", s.target.string());
  if (s.shard) s.close_shard();
  s.join_masks();
  write_index(s.partial.path(), s.index, s.tokenizer);
  with_fs_errors([&] {
    s.partial.move_to(s.target, s.options.overwrite);
    // Last: until it has moved, all of it may be needed again.
    for (const std::string& shard : s.masked) fs::remove(s.target / mask_name(shard));
    fs::remove(s.target / kJournalName);
  });
}

}  // namespace rt::data
