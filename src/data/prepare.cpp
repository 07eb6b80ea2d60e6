#include "rt/data/prepare.h"

#include <algorithm>

#include "data/block_pipeline.h"
#include "data/document_sink.h"
#include "data/hash.h"
#include "data/json.h"
#include "rt/core/error.h"
#include "rt/core/parallel.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kProgressEvery = std::uint64_t{8} << 20;

class VocabularyTarget final : public TextTarget {
 public:
  std::size_t take_text(std::string_view text, bool last, std::uint64_t base) override {
    return vocabulary_.add(text, last, base);
  }
  std::unique_ptr<Tokenizer> build() const { return vocabulary_.build(); }

 private:
  CharVocabulary vocabulary_;
};

// Writes tokens, but for the first `skip` of them, which a killed run has written.
class WriterTarget final : public DocumentTarget {
 public:
  WriterTarget(TokenSetWriter& writer, const Tokenizer& tokenizer, std::uint64_t skip)
      : writer_(writer), tokenizer_(tokenizer), skip_(skip) {}
  void begin_document() override {
    if (skip_ == 0) writer_.begin_document();
  }
  void take_ids(std::span<const std::int32_t> ids, std::span<const std::uint8_t> trained) override {
    const auto known = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, ids.size()));
    skip_ -= known;
    writer_.append(ids.subspan(known), trained.empty() ? trained : trained.subspan(known));
  }
  std::size_t take_text(std::string_view text, bool last, std::uint64_t base) override {
    ids_.clear();
    const std::size_t taken = tokenizer_.encode_some(text, last, base, ids_);
    take_ids(ids_, {});
    return taken;
  }
  std::uint64_t tokens() const override { return writer_.tokens() - skip_; }

 private:
  TokenSetWriter& writer_;
  const Tokenizer& tokenizer_;
  std::uint64_t skip_;
  std::vector<std::int32_t> ids_;
};

// One pass over all inputs from a place on.
class Pass {
 public:
  Pass(const InputList& list, const PrepareOptions& options, PrepareProgress& progress)
      : list_(list), options_(options), progress_(progress), first_(progress.bytes_done), before_(first_) {}

  // `after` is called behind every block.
  template <class F>
  void run(const Tokenizer* tokenizer, DocumentSink& sink, BlockPlace from, F&& after) {
    for (std::size_t i = 0; i < from.file; ++i) before_ += list_.files[i].bytes;
    progress_.bytes_skipped = before_ - first_;
    if (from.offset > 0 && list_.files[from.file].compression == Compression::None)
      progress_.bytes_skipped += from.offset;
    file_ = from.file;
    progress_.file = list_.files[file_].path.string();
    BlockReader reader(list_, options_, from);
    const int threads = options_.threads > 0 ? options_.threads : num_threads();
    run_pipeline(reader, options_, tokenizer, threads, [&](const Block& block, Encoded& encoded) {
      if (options_.stop && options_.stop()) fail(Exit::Interrupted, "stopped in {}", progress_.file);
      sink.take(block, encoded);
      after();
      report(block);
    });
    progress_.bytes_done = first_ + list_.bytes;
    if (options_.progress) options_.progress(progress_);
  }

 private:
  void report(const Block& block) {
    for (; file_ < block.file; ++file_) before_ += list_.files[file_].bytes;
    progress_.file = list_.files[file_].path.string();
    progress_.bytes_done = before_ + block.input_done;
    progress_.text_bytes += block.size;
    if (!options_.progress || progress_.text_bytes < reported_ + kProgressEvery) return;
    reported_ = progress_.text_bytes;
    options_.progress(progress_);
  }
  const InputList& list_;
  const PrepareOptions& options_;
  PrepareProgress& progress_;
  const std::uint64_t first_;
  std::uint64_t before_, reported_ = 0;  // before_: of the files before file_
  std::size_t file_ = 0;
};

std::unique_ptr<Tokenizer> vocabulary_of(const InputList& list, const PrepareOptions& options,
                                         PrepareProgress& progress) {
  VocabularyTarget target;
  DocumentSink sink(list, options, target);
  Pass(list, options, progress).run(nullptr, sink, {}, [] {});
  return target.build();
}

// Equal for runs that write the same bytes; in parts, so that a user can be told what is different.
std::string job_name(const InputList& list, const Tokenizer& tokenizer, const PrepareOptions& o) {
  const nlohmann::json options = {o.field,
                                  o.end_with_newline,
                                  o.separator ? nlohmann::json(hex16(xxh3(*o.separator))) : nlohmann::json(),
                                  o.longest_line,
                                  o.chat ? static_cast<int>(*o.chat) + 1 : 0,
                                  o.writer.shard_tokens,
                                  o.writer.shard_documents,
                                  hex16(xxh3(o.writer.description))};
  const nlohmann::json name = {{"inputs", hex16(list.fingerprint())},
                               {"options", hex16(xxh3(json_text(options, -1, BadUtf8::Replace)))},
                               {"tokenizer", hex16(tokenizer.fingerprint())}};
  return json_text(name);
}

std::string difference(const std::string& one, const std::string& other) {
  std::string names;
  const auto a = parse_json<nlohmann::json>(one), b = try_json<nlohmann::json>(other);
  for (const auto& [key, value] : a.items()) {
    if (!b.is_object() || b.value(key, "") != value) names += (names.empty() ? "" : " and ") + key;
  }
  return names;
}

// Says what became of the shards an earlier run left behind, and returns where to begin.
JobPosition starting_point(const TokenSetWriter& writer, const std::string& job, const fs::path& output,
                           const PrepareOptions& options) {
  const std::string partial = output.string() + ".partial";
  const auto note = [&](const std::string& line) {
    if (options.note) options.note(line);
  };
  if (!writer.other_job().empty()) {
    note(format("starting over: the {} changed since the run that left {}",
                difference(job, writer.other_job()), partial));
  }
  if (writer.resumed_position().empty()) return {};
  note(format("going on behind {} finished shards, {} tokens, in {}", writer.finished_shards(),
              writer.tokens(), partial));
  return JobPosition::from_text(writer.resumed_position());
}

[[noreturn]] void fail_unfinished(const Error& e, std::size_t shards, const fs::path& output) {
  if (shards > 0) {
    fail(e.code(), "{}; {} finished shards are kept in {}.partial, and the same command goes on behind them",
         e.what(), shards, output.string());
  }
  if (e.code() != Exit::Interrupted) throw e;
  fail(e.code(), "{} before the first shard was finished; the same command starts over", e.what());
}

InputList inputs_of(const std::vector<fs::path>& inputs, const PrepareOptions& options) {
  InputList list = list_inputs(inputs, options.format);
  for (const InputFile& file : list.files) {
    if (options.chat && !file.jsonl) {
      fail(Exit::Data, "{}: is text; a chat template is for JSON lines of conversations", file.path.string());
    }
  }
  return list;
}

PrepareReport write_tokens(const InputList& list, const fs::path& output, const Tokenizer& tokenizer,
                           const PrepareOptions& options, PrepareProgress& progress) {
  PrepareReport report;
  report.files = list.files.size();
  report.skipped_files = list.skipped;
  report.bytes = list.bytes;
  report.tokenizer_json = tokenizer.to_json();
  const std::string job = job_name(list, tokenizer, options);
  const DocumentSink* running = nullptr;
  TokenSetWriter writer(output, tokenizer, options.writer,
                        {job, [&] { return running->position().to_text(); }});
  const JobPosition from = starting_point(writer, job, output, options);
  report.resumed_tokens = writer.tokens();
  WriterTarget target(writer, tokenizer, from.skip);
  DocumentSink sink(list, options, target);
  sink.resume(from);
  running = &sink;
  try {
    Pass(list, options, progress).run(&tokenizer, sink, from.place, [&] {
      progress.documents = writer.documents();
      progress.tokens = writer.tokens();
    });
    report.documents = writer.documents();
    report.tokens = writer.tokens();
    report.empty_documents = sink.totals().empty_documents;
    report.bad_lines = sink.totals().bad_lines;
    report.first_bad_lines = sink.totals().first_bad_lines;
    if (report.tokens == 0 && report.bad_lines > 0) {
      fail(Exit::Data, "{}: {}; all {} lines are bad", report.first_bad_lines[0].where,
           report.first_bad_lines[0].why, report.bad_lines);
    }
    if (target.tokens() != report.tokens) {
      fail(Exit::Data, "{}: the inputs end before what was written of them; remove {}.partial and start over",
           output.string(), output.string());
    }
    writer.finish();
  } catch (const Error& e) { fail_unfinished(e, writer.finished_shards(), output); }
  return report;
}

}  // namespace

PrepareReport prepare(const std::vector<fs::path>& inputs, const fs::path& output, const Tokenizer& given,
                      const PrepareOptions& options) {
  const InputList list = inputs_of(inputs, options);
  PrepareProgress progress;
  progress.bytes_total = list.bytes;
  return write_tokens(list, output, given, options, progress);
}

PrepareReport prepare(const std::vector<fs::path>& inputs, const fs::path& output,
                      const std::string& tokenizer_type, const PrepareOptions& options) {
  if (tokenizer_type == "bytes") return prepare(inputs, output, *make_byte_tokenizer(), options);
  if (tokenizer_type != "chars") {
    fail(Exit::Config, "tokenizer '{}' is not known to data prepare; known: bytes, chars", tokenizer_type);
  }
  const InputList list = inputs_of(inputs, options);
  PrepareProgress progress;
  progress.bytes_total = 2 * list.bytes;
  const auto tokenizer = vocabulary_of(list, options, progress);
  return write_tokens(list, output, *tokenizer, options, progress);
}

}  // namespace rt::data
