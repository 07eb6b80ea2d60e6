// rwkv data train-bpe.
#include <cstdio>

#include "apps/data.h"
#include "apps/options.h"
#include "rt/data/bpe_trainer.h"
#include "rt/io/file.h"
#include "rt/train/machine.h"

namespace rt {

int data_train_bpe_main(int argc, char** argv) {
  std::vector<std::string> inputs, special;
  std::string out, input_format = "auto";
  data::BpeTrainOptions bpe;
  data::PrepareOptions reading;
  std::int64_t min_count = 2;
  Options options(
      "rwkv data train-bpe",
      "Learns a byte-level BPE from text files, JSON lines and directories of them, and writes it as a "
      "tokenizer.json that Hugging Face's library reads too.");
  options.positionals("IN", inputs, "Files and directories");
  options.count("--vocab", bpe.vocab, "Tokens, with the 256 bytes and the special ones",
                Options::Need::Required);
  options.text("--out,-o", out, "The tokenizer.json to write", Options::Need::Required);
  options.choice("--pattern", bpe.pattern, {"gpt2", "llama3", "qwen2"}, "How text is split before");
  options.texts("--special", special, "A special token, repeatable; default: <|endoftext|>");
  options.count("--min-count", min_count, "A pair seen less often is no token");
  options.choice("--format", input_format, {"auto", "text", "jsonl"}, "auto goes by the file's name");
  options.text("--field", reading.field, "JSON lines: the key of the text");
  options.flag("--strict", reading.strict, "Stop at the first bad line instead of counting it");
  if (!options.parse(argc, argv)) return 0;
  if (min_count < 1) fail(Exit::Config, "--min-count: must be at least 1.");
  bpe.min_count = static_cast<std::uint64_t>(min_count);
  if (!special.empty()) bpe.special = special;
  reading.format = input_format_of(input_format);
  const auto report = data::train_bpe({inputs.begin(), inputs.end()}, bpe, reading);
  io::atomic_write(out, report.json);
  std::printf("%s: %lld tokens from %s in %llu documents, %s different words\n", out.c_str(),
              static_cast<long long>(report.tokens), human_bytes(double(report.bytes)).c_str(),
              static_cast<unsigned long long>(report.documents), human_count(double(report.words)).c_str());
  if (report.bad_lines > 0) {
    std::printf("bad lines left out: %llu\n", static_cast<unsigned long long>(report.bad_lines));
  }
  if (report.tokens < bpe.vocab) {
    std::fprintf(stderr, "[data] warning: no pair was seen %lld times any more; %lld tokens were asked for\n",
                 static_cast<long long>(min_count), static_cast<long long>(bpe.vocab));
  }
  return 0;
}

}  // namespace rt
