#pragma once
#include "rt/config/run_config.h"
#include "rt/data/loader.h"
#include "rt/train/corpus.h"

namespace rt {

// Whether every sequence of a step reads on where it ended in the step before: data::Order::Streams.
bool carries_state(const RunConfig& config);

// The loader that the config's data and batch sections describe. Exit::Config when epochs_max of the sources
// ends the data before the budget ends the run.
data::Loader run_loader(const RunConfig& config, const Corpus& corpus, std::int64_t micro_sequences);

// One line for each of several sources: what the run takes from it.
void log_mixture(const data::Loader& loader, const Corpus& corpus, std::optional<std::int64_t> steps);

}  // namespace rt
