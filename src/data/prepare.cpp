#include "rt/data/prepare.h"

#include <algorithm>

#include "data/documents.h"
#include "rt/core/error.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr std::uint64_t kProgressEvery = std::uint64_t{8} << 20;

// `text` in pieces of about 1 MiB, so that a huge document needs little memory. `visit(piece, last, offset)`
// returns how much of the piece it took; what it left comes again with more behind it.
template <class F>
void for_each_piece(std::string_view text, F&& visit) {
  for (std::size_t begin = 0, length = kPiece; begin < text.size();) {
    const std::string_view piece = text.substr(begin, length);
    const std::size_t taken = visit(piece, begin + piece.size() == text.size(), begin);
    begin += taken;
    length = taken > 0 ? kPiece : 2 * length;
  }
}

// One pass over all documents; errors of the tokenizer get the place in front.
class Pass {
 public:
  Pass(const InputList& list, const PrepareOptions& options, PrepareProgress& progress)
      : list_(list), options_(options), progress_(progress) {}

  template <class F>
  void run(F&& on_document, const OnBadLine& on_bad_line) {
    for (const InputFile& file : list_.files) {
      progress_.file = file.path.string();
      const std::uint64_t before = progress_.bytes_done;
      for_each_document(
          file, options_,
          [&](const Document& d) {
            try {
              on_document(d);
            } catch (const Error& e) {
              if (e.code() != Exit::Data) throw;
              fail(Exit::Data, "{}: {}", d.where, e.what());
            }
            report(before + d.bytes_done);
          },
          on_bad_line);
      report(before + file.bytes);
    }
  }

 private:
  void report(std::uint64_t done) {
    progress_.bytes_done = done;
    if (!options_.progress || done < reported_ + kProgressEvery) return;
    reported_ = done;
    options_.progress(progress_);
  }
  const InputList& list_;
  const PrepareOptions& options_;
  PrepareProgress& progress_;
  std::uint64_t reported_ = 0;
};

std::unique_ptr<Tokenizer> vocabulary_of(const InputList& list, const PrepareOptions& options,
                                         PrepareProgress& progress) {
  CharVocabulary vocabulary;
  Pass(list, options, progress)
      .run(
          [&](const Document& d) {
            for_each_piece(d.text, [&](std::string_view piece, bool last, std::size_t at) {
              return vocabulary.add(piece, last, d.base + at);
            });
          },
          [](const std::string&, const std::string&) {});
  return vocabulary.build();
}

PrepareReport write_tokens(const InputList& list, const fs::path& output, const Tokenizer& tokenizer,
                           const PrepareOptions& options, PrepareProgress& progress) {
  PrepareReport report;
  report.files = list.files.size();
  report.skipped_files = list.skipped;
  report.bytes = list.bytes;
  report.tokenizer_json = tokenizer.to_json();
  TokenSetWriter writer(output, tokenizer, options.writer);
  std::vector<std::int32_t> ids;
  Pass(list, options, progress)
      .run(
          [&](const Document& d) {
            writer.begin_document();
            for_each_piece(d.text, [&](std::string_view piece, bool last, std::size_t at) {
              ids.clear();
              const std::size_t taken = tokenizer.encode_some(piece, last, d.base + at, ids);
              writer.append(ids);
              return taken;
            });
            report.empty_documents += d.text.empty();
            progress.documents = writer.documents();
            progress.tokens = writer.tokens();
          },
          [&](std::string where, std::string why) {
            ++report.bad_lines;
            if (report.first_bad_lines.size() < PrepareReport::kMaxListed) {
              report.first_bad_lines.push_back({std::move(where), std::move(why)});
            }
          });
  report.documents = writer.documents();
  report.tokens = writer.tokens();
  if (report.tokens == 0 && report.bad_lines > 0) {
    fail(Exit::Data, "{}: {}; all {} lines are bad", report.first_bad_lines[0].where,
         report.first_bad_lines[0].why, report.bad_lines);
  }
  writer.finish();
  if (options.progress) options.progress(progress);
  return report;
}

}  // namespace

PrepareReport prepare(const std::vector<fs::path>& inputs, const fs::path& output, const Tokenizer& given,
                      const PrepareOptions& options) {
  const InputList list = list_inputs(inputs, options.format);
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
  const InputList list = list_inputs(inputs, options.format);
  PrepareProgress progress;
  progress.bytes_total = 2 * list.bytes;
  const auto tokenizer = vocabulary_of(list, options, progress);
  return write_tokens(list, output, *tokenizer, options, progress);
}

}  // namespace rt::data
