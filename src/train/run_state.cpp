#include "rt/train/run_state.h"

#include "rt/core/error.h"
#include "rt/infer/model_file.h"
#include "rt/io/archive.h"
#include "rt/io/checkpoint.h"
#include "rt/io/state_dict.h"

namespace rt {

namespace fs = std::filesystem;

namespace {
constexpr const char* kRecurrent = "recurrent.safetensors";
}

fs::path save_run(const fs::path& root, const RunProgress& progress, const std::string& config,
                  ParamStore& store, Optimizer& optimizer, const CarriedState* carried,
                  const data::Tokenizer& tokenizer) {
  fs::create_directories(root);
  std::vector<io::NamedTensor> weights, moments;
  for (const Parameter* p : store.parameters()) weights.push_back({p->name, p->master});
  optimizer.visit_state([&](const std::string& name, const TensorView& view) {
    moments.push_back({name, view});
  });
  io::StateDict state;
  state.set_u64("step", progress.step);
  state.set_u64("tokens", progress.tokens);
  state.set_f64("seconds", progress.seconds);
  state.set_u64("data_fingerprint", progress.data_fingerprint);

  io::CheckpointWriter writer(root, progress.step);
  writer.tensors("model.safetensors", weights, {{"step", std::to_string(progress.step)}, {"arch", "rwkv7"}});
  writer.tensors("optimizer.safetensors", moments);
  if (carried) {
    const std::vector<CarriedState::Field> fields = carried->read();
    std::vector<io::NamedTensor> tensors;
    for (const CarriedState::Field& field : fields) tensors.push_back({field.name, field.value.view});
    writer.tensors(kRecurrent, tensors);
  }
  state.save(writer, "state");
  writer.text("tokenizer.json", tokenizer.to_json());
  writer.text("config.yaml", config);
  return writer.commit();
}

RunProgress read_progress(const fs::path& dir) {
  const io::StateDict state = io::StateDict::load(dir, "state");
  return {state.get_u64("step"), state.get_u64("tokens"), state.get_f64("seconds"),
          state.get_u64("data_fingerprint")};
}

RunProgress load_run(const fs::path& dir, ParamStore& store, Optimizer& optimizer) {
  load_parameters(store, io::open_archive(dir / "model.safetensors"));
  const io::TensorArchive moments = io::open_archive(dir / "optimizer.safetensors");
  optimizer.visit_state([&](const std::string& name, const TensorView& view) {
    if (!moments.contains(name)) {
      fail(Exit::Checkpoint, "{}: {} is missing.", moments.path().string(), name);
    }
    moments.read_into(name, view);
  });
  return read_progress(dir);
}

void load_carried(const fs::path& dir, CarriedState& carried) {
  const io::TensorArchive stored = io::open_archive(dir / kRecurrent);
  carried.write([&](const std::string& name, const TensorView& value) { stored.read_into(name, value); });
}

}  // namespace rt
