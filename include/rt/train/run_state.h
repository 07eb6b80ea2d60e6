#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "rt/data/tokenizer.h"
#include "rt/io/checkpoint.h"
#include "rt/ops/step_control.h"
#include "rt/train/run_tensors.h"

namespace rt {

// From step `step` on a run reads what comes so many batches later.
struct DataSkip {
  std::uint64_t step, batches;
  friend bool operator==(const DataSkip&, const DataSkip&) = default;
};

// Where a run is. Everything else that a step depends on is in the config, the weights and the optimizer's
// state.
struct RunProgress {
  std::uint64_t step = 0;                    // finished optimizer steps
  std::uint64_t tokens = 0;                  // tokens trained on
  double seconds = 0;                        // time spent training, over all resumes
  std::uint64_t data_fingerprint = 0;        // of the loader: the same samples in the same order
  std::map<std::string, double> evals = {};  // "valid/NAME/loss", where it was measured at this step
  // What it has lived through: config stability.
  std::vector<StepPoint> window = {};  // of the last steps, oldest first
  std::vector<DataSkip> skips = {};
  std::uint64_t rollbacks = 0, skipped = 0;              // so far
  std::uint64_t last_skipped = 0, skipped_in_a_row = 0;  // the step after it; of which these were the last

  std::uint64_t data_step() const {  // what the loader calls the next step
    std::uint64_t at = step;
    for (const DataSkip& skip : skips) at += skip.step <= step ? skip.batches : 0;
    return at;
  }
};

// Writes root/step-N: the files of `tensors`, state.json, tokenizer.json, config.yaml and manifest.json.
// Durable when it returns. Throws Exit::Checkpoint; earlier checkpoints stay as they were. The processes of a
// crew write one checkpoint, which is that of a single one: it can be read by any number of them.
std::filesystem::path save_run(const std::filesystem::path& root, const RunProgress& progress,
                               const std::string& config, const RunTensors& tensors,
                               const data::Tokenizer& tokenizer, const io::SaveCrew& crew = {});

// Reads a verified checkpoint back, to the bit. `store` and `optimizer` must have been made for the same
// model.
RunProgress load_run(const std::filesystem::path& dir, ParamStore& store, Optimizer& optimizer);
// The state of a checkpoint of the same data in the same order.
void load_carried(const std::filesystem::path& dir, CarriedState& carried);
RunProgress read_progress(const std::filesystem::path& dir);

// What checkpoints of a run measured: (value, step), the lowest first.
std::vector<std::pair<double, std::uint64_t>> measured(const std::filesystem::path& root,
                                                       const std::string& metric);

}  // namespace rt
