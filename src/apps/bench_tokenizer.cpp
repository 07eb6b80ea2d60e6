#include <algorithm>
#include <ctime>
#include <limits>

#include "apps/bench.h"
#include "apps/model_options.h"
#include "rt/core/mapped_file.h"

namespace rt {
namespace {

// A core's time, whoever else the machine runs.
double thread_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

// Bytes of `text` per second of the best of `repeats` runs.
double rate(const std::string& text, std::int64_t repeats, const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i <= repeats; ++i) {
    const double begin = thread_seconds();
    run();
    best = std::min(best, thread_seconds() - begin);
  }
  return double(text.size()) / best;
}

// Steps through UTF-8 and counts characters, as the least that any tokenizer does with text, one byte at a
// time.
std::size_t count_characters(const std::string& text) {
  std::size_t n = 0;
  for (const char c : text) {
    // Without it the compiler counts many bytes at once.
    asm volatile("" : "+r"(n));
    n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }
  return n;
}

void measure(const data::Tokenizer& tokenizer, const std::string& file, std::int64_t repeats,
             BenchReport& report) {
  const std::string text(MappedFile(file, Exit::Data).text());
  if (text.empty()) fail(Exit::Data, "{}: is empty", file);
  std::vector<std::int32_t> ids;
  std::size_t characters = 0, decoded = 0;
  const double scan = rate(text, repeats, [&] { characters = count_characters(text); });
  const double encode = rate(text, repeats, [&] {
    ids.clear();
    tokenizer.encode_some(text, true, 0, ids);
  });
  const double decode = rate(text, repeats, [&] { decoded = tokenizer.decode(ids).size(); });
  report.text("file", file);
  report.value(file + " scan", scan / 1e6, "MB/s");
  report.value(file + " encode", encode / 1e6, "MB/s");
  report.value(file + " encode/scan", encode / scan, "");
  report.value(file + " decode", decode / 1e6, "MB/s");
  report.value(file + " bytes per token", double(text.size()) / double(ids.size()), "");
  report.value(file + " characters", double(characters), "");
  report.value(file + " decoded", double(decoded), "bytes");
}

}  // namespace

int bench_tokenizer_main(int argc, char** argv) {
  std::string name;
  std::optional<std::string> json;
  std::vector<std::string> files;
  std::int64_t repeats = 10;
  Options options("rwkv bench tokenizer",
                  "How fast text becomes token ids on one core, beside a loop over its bytes.");
  options.positionals("FILE", files, "Text");
  options.text("--tokenizer", name, "bytes, a tokenizer file or a directory with one",
               Options::Need::Required);
  options.count("--repeats", repeats, "Runs, of which the best counts");
  options.text("--json", json, "Also write the figures to this file");
  if (!options.parse(argc, argv)) return 0;
  const double begin = thread_seconds();
  const auto tokenizer = open_tokenizer(name);
  BenchReport report("tokenizer");
  report.text("tokenizer", name + ", " + std::string(tokenizer->type()));
  report.value("load", thread_seconds() - begin, "s");
  for (const std::string& file : files) measure(*tokenizer, file, repeats, report);
  report.write(json);
  return 0;
}

}  // namespace rt
