#include "rt/train/run_loader.h"

#include "rt/core/error.h"
#include "rt/core/log.h"

namespace rt {
namespace {

data::Order order_of(const config::DataSection& d) {
  switch (d.order) {
    case config::Order::Shuffle: break;
    case config::Order::Sequential:
      return d.document_state == config::DocumentState::Carry ? data::Order::Streams
                                                              : data::Order::Sequential;
    case config::Order::RwkvMagicPrime: return data::Order::MagicPrime;
  }
  return data::Order::Shuffled;
}

data::Packing packing_of(const config::DataSection& d) {
  switch (d.packing) {
    case config::Packing::Concat: break;
    case config::Packing::Pack: return data::Packing::Pack;
    case config::Packing::Pad: return data::Packing::Pad;
  }
  return data::Packing::Concat;
}

}  // namespace

bool carries_state(const RunConfig& config) { return order_of(config.data) == data::Order::Streams; }

data::Loader run_loader(const RunConfig& config, const Corpus& corpus, std::int64_t micro_sequences) {
  const config::DataSection& d = config.data;
  data::LoaderOptions options;
  options.seq_len = d.seq_len;
  options.global_sequences = config.sequences_per_step();
  options.micro_sequences = micro_sequences;
  options.seed = static_cast<std::uint64_t>(config.run.seed);
  options.order = order_of(d);
  options.document_resets = d.document_state == config::DocumentState::Reset;
  options.packing = packing_of(d);
  options.magic_prime = static_cast<std::uint64_t>(d.magic_prime.value_or(0));
  for (const config::SeqLenPart& part : d.seq_len.parts) {
    if (!part.until) continue;
    const std::int64_t tokens = config.batch.global_tokens;
    options.curriculum.push_back(
        {static_cast<std::uint64_t>((*part.until + tokens - 1) / tokens), part.value});
  }
  data::Loader loader(corpus.train(), options);
  const auto total = config.total_steps();
  if (total && static_cast<std::uint64_t>(*total) > loader.steps()) {
    fail(Exit::Config,
         "budget: {} steps are more than data.train lasts: every source has been read epochs_max times after "
         "{}. Raise data.train epochs_max, or lower the budget.",
         *total, loader.steps());
  }
  return loader;
}

void log_mixture(const data::Loader& loader, const Corpus& corpus, std::optional<std::int64_t> steps) {
  if (loader.sources() == 1 || !steps) return;
  const std::vector<double> epochs = loader.epochs_at(static_cast<std::uint64_t>(*steps));
  double all = 0;
  for (std::size_t j = 0; j < epochs.size(); ++j) all += epochs[j] * static_cast<double>(loader.rows(j));
  for (std::size_t j = 0; j < epochs.size(); ++j) {
    log::info("data", "source={}, share={}, epochs={}", corpus.train()[j].tokens->name(),
              epochs[j] * static_cast<double>(loader.rows(j)) / all, epochs[j]);
  }
}

}  // namespace rt
