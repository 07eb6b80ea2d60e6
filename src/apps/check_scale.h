#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rt/config/run_config.h"
#include "rt/train/scale.h"

namespace rt {

// What `rwkv check CONFIG --world ...` was asked.
struct ScaleQuestion {
  std::string world;                // "32", "1,8,64", or "sweep": 1, 2, 4, ... 4096
  std::string machine;              // of rt/train/machines.h
  std::string sizes;                // "0.1B,7.2B" or "all": these RWKV-7 models instead of the config's
  std::int64_t tokens_per_gpu = 0;  // a step; 0: batch.global_tokens, whatever the world
  std::optional<std::string> csv, plot, points;
};

// One GPU count: memory, time, communication and MFU in a table, on stdout; Exit::Memory where it does not
// fit, with what would. Several counts or sizes: a line each, also as CSV, also as a plot of MFU (SVG).
// Nothing is run, and no GPU is needed. `model`: of the config, resolved.
void check_scale(const RunConfig& config, const ModelSpec& model, const ScaleQuestion& question);

// One line of a sweep.
struct ScaleRow {
  std::string model;
  ScaleRun run;
  ScaleEstimate estimate;
};
std::string scale_csv(const std::vector<ScaleRow>& rows, const Machine& machine);
// MFU over GPUs, a line for each model, of those rows that fit. `points`: a CSV file of published
// "model,gpus,mfu,label"; Exit::Config where a line of it is not that.
std::string scale_plot(const std::vector<ScaleRow>& rows, const Machine& machine,
                       const ScaleQuestion& question);

}  // namespace rt
