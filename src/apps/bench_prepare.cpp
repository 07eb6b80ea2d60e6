#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "apps/bench.h"
#include "apps/model_options.h"
#include "apps/temp_dir.h"
#include "rt/core/mapped_file.h"
#include "rt/data/prepare.h"
#include "rt/data/stories.h"

namespace rt {
namespace {

namespace fs = std::filesystem;

constexpr int kRepeats = 3;
constexpr std::size_t kCopyStep = std::size_t{1} << 20;

// Generated stories as JSON lines with a few more fields, as sets of text have them.
void write_stories_as_jsonl(const fs::path& path, std::uint64_t bytes) {
  std::ofstream out(path, std::ios::binary);
  std::uint64_t written = 0;
  for (std::uint64_t i = 0; written < bytes; ++i) {
    std::string text = data::story(1, i);
    text.pop_back();  // a story is one line of ASCII: beside its end, only these two are escaped
    std::string line = format("{\"id\": {}, \"text\": \"", i);
    for (const char c : text) {
      if (c == '"' || c == '\\') line += '\\';
      line += c;
    }
    line += "\", \"meta\": {\"source\": \"stories\", \"score\": 0.5}}\n";
    written += line.size();
    out << line;
  }
  out.close();
  if (!out) fail(Exit::Data, "{}: cannot be written.", path.string());
}

// What a program needs that does nothing with its input: to read it, and to write as much, durably.
void write_copy(const fs::path& from, const fs::path& to) {
  const MappedFile in(from, Exit::Data);
  const int fd = ::open(to.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  bool good = fd >= 0;
  for (std::size_t at = 0; good && at < in.size();) {
    const ssize_t done = ::write(fd, in.data() + at, std::min(kCopyStep, in.size() - at));
    good = done > 0;
    at += static_cast<std::size_t>(std::max<ssize_t>(done, 0));
  }
  good = good && ::fsync(fd) == 0;
  if (fd >= 0) ::close(fd);
  if (!good) fail(Exit::Data, "{}: cannot be written.", to.string());
}

}  // namespace

int bench_prepare_main(int argc, char** argv) {
  std::optional<std::string> data, json;
  std::string tokenizer = "bytes";
  std::int64_t bytes = 256'000'000, threads = 0;
  Options options("rwkv bench prepare",
                  "How fast text becomes token data, from JSON lines to shards on disk.");
  options.text("--data,-d", data, "A .jsonl, .txt, .gz or .zst file; default: generated stories, JSON lines");
  options.count("--bytes", bytes, "Of generated stories");
  options.text("--tokenizer", tokenizer, "bytes, or a tokenizer.json");
  options.count("--threads", threads, "That encode; 0: one per core");
  options.text("--json", json, "Also write the figures to this file");
  if (!options.parse(argc, argv)) return 0;
  BenchReport report("prepare");
  const TempDir scratch;
  const fs::path input = data.value_or((scratch.path() / "stories.jsonl").string());
  if (!data) write_stories_as_jsonl(input, static_cast<std::uint64_t>(bytes));
  report.text("source", data.value_or("generated stories, JSON lines"));
  const auto chosen = open_tokenizer(tokenizer);
  data::PrepareOptions prepare;
  prepare.threads = static_cast<int>(threads);
  prepare.writer.overwrite = true;
  std::uint64_t text_bytes = 0;
  prepare.progress = [&](const data::PrepareProgress& p) { text_bytes = p.text_bytes; };
  const double copy = best_seconds(kRepeats, [&] { write_copy(input, scratch.path() / "copy"); });
  data::PrepareReport made;
  const double seconds = best_seconds(
      kRepeats, [&] { made = data::prepare({input}, scratch.path() / "tokens", *chosen, prepare); });
  report.value("copy of the file", double(fs::file_size(input)) / copy / 1e6, "MB/s");
  report.value("prepare, " + tokenizer, double(text_bytes) / seconds / 1e6, "MB/s");
  report.value("of a copy's rate", double(text_bytes) / seconds / (double(fs::file_size(input)) / copy), "");
  report.value("tokens", double(made.tokens) / seconds, "tokens/s");
  report.write(json);
  return 0;
}

}  // namespace rt
