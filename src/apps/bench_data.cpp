#include <cstring>

#include "apps/bench.h"
#include "apps/temp_dir.h"
#include "rt/core/error.h"
#include "rt/data/loader.h"
#include "rt/data/stories.h"
#include "rt/data/token_set.h"

namespace rt {
namespace {

constexpr int kRepeats = 5;

struct Case {
  const char* name;
  data::Order order;
  data::Packing packing;
};

double loader_rate(const data::TokenSource& source, const data::LoaderOptions& options, std::int64_t tokens) {
  const data::Loader loader(source, options);
  const std::int64_t per_step = options.seq_len * options.global_sequences;
  const auto steps = static_cast<std::uint64_t>(std::max<std::int64_t>(1, tokens / per_step));
  data::Batch batch;
  const double seconds = best_seconds(kRepeats, [&] {
    for (std::uint64_t step = 0; step < steps; ++step) loader.at(step, 0, batch);
  });
  return double(steps) * double(per_step) / seconds;
}

// The yardstick: tokens whose stored form (u16) and whose place in a batch (token, target, reset mark: 9
// bytes) are moved by copies of as many bytes from a file's worth of memory into a batch.
double copy_rate(const data::LoaderOptions& options, std::int64_t tokens) {
  const auto batch = static_cast<std::size_t>(options.seq_len * options.global_sequences);
  const auto batches = std::max<std::size_t>(1, static_cast<std::size_t>(tokens) / batch);
  std::vector<std::uint16_t> file(batch * batches, 1);
  std::vector<std::uint16_t> read(batch);
  std::vector<std::byte> made(9 * batch), from(9 * batch);
  const double seconds = best_seconds(kRepeats, [&] {
    for (std::size_t i = 0; i < batches; ++i) {
      std::memcpy(read.data(), file.data() + i * batch, 2 * batch);
      std::memcpy(made.data(), from.data(), made.size());
      from[i % from.size()] = made[read[0]];  // no copy may be left out
    }
  });
  return double(batch * batches) / seconds;
}

}  // namespace

int bench_data_main(int argc, char** argv) {
  std::optional<std::string> dir, json;
  std::int64_t seq_len = 512, sequences = 16, tokens = 32'000'000;
  Options options("rwkv bench data", "How fast the loader makes batches on one thread, beside plain copies.");
  options.text("--data,-d", dir, "A token directory; default: generated stories");
  options.count("--seq-len", seq_len, "Tokens of a sequence");
  options.count("--sequences", sequences, "Sequences of a batch");
  options.count("--tokens", tokens, "Tokens to load");
  options.text("--json", json, "Also write the figures to this file");
  if (!options.parse(argc, argv)) return 0;
  BenchReport report("data");
  const TempDir scratch;
  std::filesystem::path path = dir.value_or((scratch.path() / "stories").string());
  if (!dir) {
    data::StoriesOptions stories;
    stories.tokens = 32'000'000;
    data::write_stories(path, *data::story_tokenizer("bytes"), stories);
  }
  const data::TokenSet set(path);
  report.text("source", dir.value_or("32M tokens of generated stories"));
  data::LoaderOptions loader;
  loader.seq_len = seq_len;
  loader.global_sequences = loader.micro_sequences = sequences;
  loader.document_resets = true;
  const double copies = copy_rate(loader, tokens);
  report.value("copy", copies, "tokens/s");
  for (const Case& c : {Case{"sequential", data::Order::Sequential, data::Packing::Concat},
                        Case{"shuffled", data::Order::Shuffled, data::Packing::Concat},
                        Case{"rwkv_magic_prime", data::Order::MagicPrime, data::Packing::Concat},
                        Case{"pack", data::Order::Shuffled, data::Packing::Pack},
                        Case{"pad", data::Order::Shuffled, data::Packing::Pad}}) {
    loader.order = c.order;
    loader.packing = c.packing;
    const double rate = loader_rate(set, loader, tokens);
    report.value(c.name, rate, "tokens/s");
    report.value(format("{}_of_copy", c.name), rate / copies, "");
  }
  report.write(json);
  return 0;
}

}  // namespace rt
