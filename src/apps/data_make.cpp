// rwkv data prepare, rwkv data stories.
#include <cstdio>
#include <iostream>

#include "apps/data.h"
#include "apps/model_options.h"
#include "apps/prepare_progress.h"
#include "rt/data/prepare.h"
#include "rt/data/stories.h"
#include "rt/train/machine.h"
#include "rt/train/signals.h"

namespace rt {
namespace {

constexpr std::int64_t kLongestLine = std::int64_t{4000} << 20;  // the parser counts in 32 bits

struct PrepareArguments {
  std::vector<std::string> inputs;
  std::string out, tokenizer, field = "text", input_format = "auto", chat = "none";
  std::optional<std::string> separator;
  std::int64_t shard_tokens = std::int64_t{1} << 27, longest_line = std::int64_t{64} << 20, threads = 0;
  bool strict = false, force = false;
};

data::PrepareReport prepare(const PrepareArguments& a) {
  data::PrepareOptions options;
  options.format = input_format_of(a.input_format);
  options.field = a.field;
  if (a.chat == "rwkv") options.chat = data::ChatTemplate::Rwkv;
  if (a.chat == "chatml") options.chat = data::ChatTemplate::ChatMl;
  options.separator = a.separator;
  options.strict = a.strict;
  options.writer.overwrite = a.force;
  options.writer.shard_tokens = static_cast<std::uint64_t>(a.shard_tokens);
  options.longest_line = static_cast<std::uint64_t>(a.longest_line);
  options.threads = static_cast<int>(a.threads);
  PrepareMeter meter;
  options.progress = [&](const data::PrepareProgress& p) { meter.show(p); };
  options.note = [&](const std::string& line) { meter.note(line); };
  const SignalGuard signals;
  options.stop = [] { return SignalGuard::requested() != 0; };
  const std::vector<std::filesystem::path> inputs(a.inputs.begin(), a.inputs.end());
  if (a.tokenizer == "bytes" || a.tokenizer == "chars") return prepare(inputs, a.out, a.tokenizer, options);
  return prepare(inputs, a.out, *open_tokenizer(a.tokenizer), options);
}

std::string count(std::uint64_t n) { return std::to_string(n); }

}  // namespace

int data_prepare_main(int argc, char** argv) {
  PrepareArguments a;
  Options options("rwkv data prepare",
                  "Turns text files, JSON lines, either of them in .gz or .zst, and directories of them into "
                  "token data. When it was stopped or killed, the same command goes on where it was.");
  options.positionals("IN", a.inputs, "Files and directories");
  options.text("--out,-o", a.out, "The token directory to write", Options::Need::Required);
  options.text("--tokenizer", a.tokenizer, "bytes, chars (the alphabet of the inputs), or a tokenizer.json",
               Options::Need::Required);
  options.choice("--format", a.input_format, {"auto", "text", "jsonl"}, "auto goes by the file's name");
  options.text("--field", a.field, "JSON lines: the key of the text");
  options.choice(
      "--template", a.chat, {"none", "rwkv", "chatml"},
      "JSON lines: {\"messages\": [{\"role\", \"content\"}...]} or {\"prompt\", \"response\"}, of which "
      "data.loss_mask: from_dataset trains on the answers");
  options.text("--separator", a.separator, "Text: a line equal to this ends a document");
  options.flag("--strict", a.strict, "Stop at the first bad line instead of counting it");
  options.flag("--force", a.force, "Replace an existing token directory");
  options.count("--threads", a.threads, "That encode; 0: one per core. Any number gives the same output");
  options.count("--longest-line", a.longest_line, "JSON lines: longer ones, in bytes, are bad ones");
  options.count("--shard-tokens", a.shard_tokens, "A shard file is closed at so many tokens");
  if (!options.parse(argc, argv)) return 0;
  if (a.shard_tokens < 1) fail(Exit::Config, "--shard-tokens: must be at least 1.");
  if (a.threads > 1024) fail(Exit::Config, "--threads: at most 1024.");
  if (a.longest_line < 1 || a.longest_line > kLongestLine) {
    fail(Exit::Config, "--longest-line: must be from 1 to {}.", kLongestLine);
  }
  const data::PrepareReport report = prepare(a);
  for (const data::BadLine& bad : report.first_bad_lines) {
    std::fprintf(stderr, "[data] warning: %s: %s\n", bad.where.c_str(), bad.why.c_str());
  }
  std::printf("%s: %s tokens, %s documents from %s files, %s\n", a.out.c_str(), count(report.tokens).c_str(),
              count(report.documents).c_str(), count(report.files).c_str(),
              human_bytes(double(report.bytes)).c_str());
  if (report.bad_lines > 0) std::printf("bad lines left out: %s\n", count(report.bad_lines).c_str());
  if (report.empty_documents > 0) std::printf("empty documents: %s\n", count(report.empty_documents).c_str());
  if (report.skipped_files > 0) std::printf("files left out: %s\n", count(report.skipped_files).c_str());
  return 0;
}

int data_stories_main(int argc, char** argv) {
  std::int64_t tokens = 0, number = 0, seed = 1, first = 0;
  std::string tokenizer = "bytes";
  std::optional<std::string> out;
  bool force = false;
  Options options("rwkv data stories",
                  "Generates tiny stories: token data with --out, else text, one per line.");
  options.count("--tokens", tokens, "Whole stories of at least so many tokens");
  options.count("--count", number, "Text only: so many stories");
  options.count("--seed", seed, "Another seed gives other stories");
  options.count("--first", first, "Index of the first story");
  options.text("--out,-o", out, "A token directory to write");
  options.choice("--tokenizer", tokenizer, {"bytes", "chars"}, "Of the token directory");
  options.flag("--force", force, "Replace an existing token directory");
  if (!options.parse(argc, argv)) return 0;
  if ((tokens > 0) == (number > 0) || (out && tokens == 0)) {
    fail(Exit::Config, "rwkv data stories: give {}.", out ? "--tokens" : "either --tokens or --count");
  }
  const auto s = static_cast<std::uint64_t>(seed), begin = static_cast<std::uint64_t>(first);
  if (out) {
    data::StoriesOptions o;
    o.seed = s;
    o.first = begin;
    o.tokens = static_cast<std::uint64_t>(tokens);
    o.writer.overwrite = force;
    const auto report = data::write_stories(*out, *data::story_tokenizer(tokenizer), o);
    std::printf("%s: %s tokens, %s stories\n", out->c_str(), count(report.tokens).c_str(),
                count(report.stories).c_str());
    return 0;
  }
  // Stories are ASCII: of text, a token is a byte in either tokenizer.
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; number > 0 ? i < std::uint64_t(number) : bytes < std::uint64_t(tokens); ++i) {
    const std::string text = data::story(s, begin + i);
    bytes += text.size();
    if (!(std::cout << text)) fail(Exit::Failure, "stdout: cannot be written.");
  }
  std::cout.flush();
  return 0;
}

}  // namespace rt
