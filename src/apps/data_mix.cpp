// rwkv data mix, rwkv data convert.
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "apps/data.h"
#include "apps/model_options.h"
#include "rt/data/convert.h"
#include "rt/data/mix.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

void show_tokens(std::uint64_t tokens) {
  if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\r\033[K%s tokens", human_count(double(tokens)).c_str());
}

void end_progress() {
  if (isatty(STDERR_FILENO)) std::fputs("\r\033[K", stderr);
}

// PATH or PATH=WEIGHT; a '=' that no number follows belongs to the path.
std::string split_weight(const std::string& word, double& weight) {
  const std::size_t at = word.rfind('=');
  if (at == std::string::npos) return word;
  double value = 0;
  const char *begin = word.data() + at + 1, *end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || rest != end) return word;
  weight = value;
  return word.substr(0, at);
}

}  // namespace

int data_mix_main(int argc, char** argv) {
  std::vector<std::string> words;
  std::string out;
  std::optional<std::string> tokenizer_name;
  std::int64_t tokens = 0, seed = 0, shard_tokens = std::int64_t{1} << 27;
  bool force = false;
  Options options("rwkv data mix",
                  "Writes a token directory of whole documents from several sources, each with its share of "
                  "the tokens.");
  options.positionals("DATA[=WEIGHT]", words,
                      "Token data; its share relative to the others', 1 if not given");
  options.text("--out,-o", out, "The token directory to write", Options::Need::Required);
  options.count("--tokens", tokens,
                "At least so many, documents taken again where a source runs out; 0: until one does");
  options.count("--seed", seed, "Another seed gives another order of documents");
  options.text("--tokenizer", tokenizer_name, "What files of another program were made with");
  options.count("--shard-tokens", shard_tokens, "A shard file is closed at so many tokens");
  options.flag("--force", force, "Replace an existing token directory");
  if (!options.parse(argc, argv)) return 0;
  if (shard_tokens < 1) fail(Exit::Config, "--shard-tokens: must be at least 1.");
  const auto tokenizer = tokenizer_name ? open_tokenizer(*tokenizer_name) : nullptr;
  std::vector<std::unique_ptr<data::StoredTokens>> sources;
  std::vector<data::MixPart> parts;
  data::MixOptions o;
  o.writer.description = "mix of";
  for (const std::string& word : words) {
    double weight = 1;
    sources.push_back(open_token_data(split_weight(word, weight), tokenizer.get()));
    parts.push_back({sources.back().get(), weight});
    o.writer.description += " " + word;
  }
  o.tokens = static_cast<std::uint64_t>(tokens);
  o.seed = static_cast<std::uint64_t>(seed);
  o.writer.shard_tokens = static_cast<std::uint64_t>(shard_tokens);
  o.writer.overwrite = force;
  o.progress = show_tokens;
  const std::vector<data::MixShare> shares = data::mix(parts, out, o);
  end_progress();
  std::uint64_t total = 0;
  for (const data::MixShare& s : shares) total += s.tokens;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    std::printf("%s: %llu tokens (%.2f%%), %llu documents, %.2f epochs\n", parts[i].source->name().c_str(),
                static_cast<unsigned long long>(shares[i].tokens),
                100.0 * double(shares[i].tokens) / double(total),
                static_cast<unsigned long long>(shares[i].documents), shares[i].epochs);
  }
  std::printf("%s: %llu tokens\n", out.c_str(), static_cast<unsigned long long>(total));
  return 0;
}

int data_convert_main(int argc, char** argv) {
  std::string in, out, to = "tokens";
  std::optional<std::string> tokenizer_name;
  bool force = false;
  Options options("rwkv data convert",
                  "Copies token data into another format: to a token directory, or to OUT.bin and OUT.idx as "
                  "Megatron-LM and RWKV-LM read them.");
  options.positional("DATA", in, "A token directory, a Megatron .bin with .idx, llm.c .bin files");
  options.text("--out,-o", out, "The token directory, or the name before .bin and .idx",
               Options::Need::Required);
  options.choice("--to", to, {"tokens", "megatron"}, "The format to write");
  options.text("--tokenizer", tokenizer_name, "What files of another program were made with");
  options.flag("--force", force, "Replace what is there");
  if (!options.parse(argc, argv)) return 0;
  const auto tokenizer = tokenizer_name ? open_tokenizer(*tokenizer_name) : nullptr;
  const auto source = open_token_data(in, tokenizer.get());
  if (to == "megatron") {
    data::write_megatron(*source, out, force, show_tokens);
  } else {
    const std::string from = source->description().empty() ? in : std::string(source->description());
    data::TokenSetWriter writer(out, source->tokenizer(), {.overwrite = force, .description = from});
    data::append_documents(*source, 0, source->documents(), writer, show_tokens);
    writer.finish();
  }
  end_progress();
  std::printf("%s: %llu tokens, %llu documents\n", out.c_str(),
              static_cast<unsigned long long>(source->size()),
              static_cast<unsigned long long>(source->documents()));
  return 0;
}

}  // namespace rt
