#include "apps/bench.h"
#include "apps/temp_dir.h"
#include "rt/data/loader.h"
#include "rt/data/stories.h"
#include "rt/data/token_set.h"

namespace rt {
namespace {

double loader_rate(const data::TokenSource& source, data::LoaderOptions options, std::int64_t tokens) {
  const data::Loader loader(source, options);
  const std::int64_t per_step = options.seq_len * options.global_sequences;
  const auto steps = static_cast<std::uint64_t>(std::max<std::int64_t>(1, tokens / per_step));
  data::Batch batch;
  const double seconds = best_seconds(1, [&] {
    for (std::uint64_t step = 0; step < steps; ++step) loader.at(step, 0, batch);
  });
  return double(steps) * double(per_step) / seconds;
}

}  // namespace

int bench_data_main(int argc, char** argv) {
  std::optional<std::string> dir, json;
  std::int64_t seq_len = 512, sequences = 16, tokens = 8'000'000;
  Options options("rwkv bench data", "How fast the loader makes batches on one thread.");
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
    stories.tokens = 4'000'000;
    data::write_stories(path, *data::story_tokenizer("bytes"), stories);
  }
  const data::TokenSet set(path);
  report.text("source", dir.value_or("4M tokens of generated stories"));
  data::LoaderOptions loader;
  loader.seq_len = seq_len;
  loader.global_sequences = loader.micro_sequences = sequences;
  loader.document_resets = true;
  for (const auto order : {data::Order::Sequential, data::Order::Shuffled}) {
    loader.order = order;
    report.value(order == data::Order::Sequential ? "sequential" : "shuffled",
                 loader_rate(set, loader, tokens), "tokens/s");
  }
  report.write(json);
  return 0;
}

}  // namespace rt
