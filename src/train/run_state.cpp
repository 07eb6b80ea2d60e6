#include "rt/train/run_state.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "rt/core/error.h"
#include "rt/infer/model_file.h"
#include "rt/io/archive.h"
#include "rt/io/checkpoint.h"
#include "rt/io/state_dict.h"

namespace rt {

namespace fs = std::filesystem;

namespace {

const std::string kEval = "eval/";

// To the bit.
std::string exact(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

}  // namespace

fs::path save_run(const fs::path& root, const RunProgress& progress, const std::string& config,
                  const RunTensors& tensors, const data::Tokenizer& tokenizer, const io::SaveCrew& crew) {
  fs::create_directories(root);
  io::StateDict state;
  state.set_u64("step", progress.step);
  state.set_u64("tokens", progress.tokens);
  state.set_f64("seconds", progress.seconds);
  state.set_u64("data_fingerprint", progress.data_fingerprint);

  state.set_u64("rollbacks", progress.rollbacks);
  state.set_u64("skipped", progress.skipped);
  state.set_u64("last_skipped", progress.last_skipped);
  state.set_u64("skipped_in_a_row", progress.skipped_in_a_row);
  std::string skips, window;
  for (const DataSkip& skip : progress.skips) skips += format("{} {} ", skip.step, skip.batches);
  for (const StepPoint& step : progress.window) window += exact(step.loss) + " " + exact(step.norm) + " ";
  state.set_string("skips", skips);
  state.set_string("window", window);
  for (const auto& [metric, value] : progress.evals) state.set_f64(kEval + metric, value);

  io::CheckpointWriter writer(root, progress.step, crew);
  for (const RunFile& file : tensors.files()) {
    io::Metadata metadata;
    if (file.name == kWeightsFile) metadata = {{"step", std::to_string(progress.step)}, {"arch", "rwkv7"}};
    writer.tensors(file.name, file.all, file.mine, metadata);
  }
  state.save(writer, "state");
  writer.text("tokenizer.json", tokenizer.to_json());
  writer.text("config.yaml", config);
  return writer.commit();
}

RunProgress read_progress(const fs::path& dir) {
  const io::StateDict state = io::StateDict::load(dir, "state");
  RunProgress progress;
  progress.step = state.get_u64("step");
  progress.tokens = state.get_u64("tokens");
  progress.seconds = state.get_f64("seconds");
  progress.data_fingerprint = state.get_u64("data_fingerprint");
  for (const auto& [name, value] : state.entries()) {
    if (name.starts_with(kEval)) progress.evals[name.substr(kEval.size())] = state.get_f64(name);
  }
  if (!state.contains("window")) return progress;  // as it was once written
  progress.rollbacks = state.get_u64("rollbacks");
  progress.skipped = state.get_u64("skipped");
  progress.last_skipped = state.get_u64("last_skipped");
  progress.skipped_in_a_row = state.get_u64("skipped_in_a_row");
  std::istringstream skips(state.get_string("skips")), window(state.get_string("window"));
  for (DataSkip skip{}; skips >> skip.step >> skip.batches;) progress.skips.push_back(skip);
  for (std::string loss, norm; window >> loss >> norm;)
    progress.window.push_back({std::strtod(loss.c_str(), nullptr), std::strtod(norm.c_str(), nullptr)});
  return progress;
}

RunProgress load_run(const fs::path& dir, ParamStore& store, Optimizer& optimizer) {
  load_parameters(store, io::open_archive(dir / kWeightsFile));
  const io::TensorArchive moments = io::open_archive(dir / kMomentsFile);
  optimizer.visit_state([&](const std::string& name, const ParamPart& part, const TensorView& values) {
    if (!moments.contains(name)) {
      fail(Exit::Checkpoint, "{}: {} is missing.", moments.path().string(), name);
    }
    if (moments.info(name).shape != part.parameter->master.shape) {
      fail(Exit::Checkpoint, "{}: {} has shape {}, the parameter's is {}.", moments.path().string(), name,
           moments.info(name).shape, part.parameter->master.shape);
    }
    moments.read_part(name, part.begin, values);
  });
  return read_progress(dir);
}

std::vector<std::pair<double, std::uint64_t>> measured(const fs::path& root, const std::string& metric) {
  std::vector<std::pair<double, std::uint64_t>> found;
  for (const io::CheckpointInfo& checkpoint : io::list_checkpoints(root)) {
    try {
      const RunProgress progress = read_progress(checkpoint.dir);
      const auto at = progress.evals.find(metric);
      if (at != progress.evals.end()) found.emplace_back(at->second, checkpoint.step);
    } catch (const Error&) { continue; }  // a damaged one is no best
  }
  std::sort(found.begin(), found.end());
  return found;
}

void load_carried(const fs::path& dir, CarriedState& carried) {
  const io::TensorArchive stored = io::open_archive(dir / kStateFile);
  carried.write([&](const std::string& name, std::int64_t begin, const TensorView& part) {
    stored.read_part(name, begin, part);
  });
}

}  // namespace rt
