#include "rt/infer/model_file.h"

#include <charconv>

#include "rt/core/error.h"
#include "rt/io/checkpoint.h"
#include "rt/io/file.h"

namespace rt {
namespace {

namespace fs = std::filesystem;

std::int64_t extent(const io::TensorArchive& archive, const std::string& name, int dim) {
  if (!archive.contains(name)) {
    fail(Exit::Checkpoint, "{}: {} is missing: this is not an RWKV-7 checkpoint.", archive.path().string(),
         name);
  }
  const Shape& shape = archive.info(name).shape;
  if (dim >= shape.rank()) {
    fail(Exit::Checkpoint, "{}: {} has shape {}, which no RWKV-7 checkpoint has.", archive.path().string(),
         name, shape);
  }
  return shape[dim];
}

bool optional_in_file(const std::string& name) {
  return name.starts_with("blocks.0.att.v") && name.size() == 15;
}

}  // namespace

ModelSpec spec_from_archive(const io::TensorArchive& archive) {
  ModelSpec spec;
  spec.arch = "rwkv7";
  spec.layers = 0;
  for (const std::string& name : archive.names()) {
    if (!name.starts_with("blocks.")) continue;
    std::int64_t layer = -1;
    std::from_chars(name.data() + 7, name.data() + name.size(), layer);
    spec.layers = std::max(spec.layers, layer + 1);
  }
  spec.vocab = extent(archive, "emb.weight", 0);
  spec.width = extent(archive, "emb.weight", 1);
  spec.head_size = extent(archive, "blocks.0.att.r_k", 1);
  spec.ffn_width = extent(archive, "blocks.0.ffn.key.weight", 0);
  spec.decay_rank = extent(archive, "blocks.0.att.w1", 1);
  spec.rate_rank = extent(archive, "blocks.0.att.a1", 1);
  spec.value_rank = extent(archive, "blocks.1.att.v1", 1);
  spec.gate_rank = extent(archive, "blocks.0.att.g1", 1);
  try {
    return spec.resolve();
  } catch (const Error& e) { fail(Exit::Checkpoint, "{}: {}", archive.path().string(), e.what()); }
}

void load_parameters(ParamStore& store, const io::TensorArchive& archive) {
  const std::string path = archive.path().string();
  for (const std::string& name : archive.names()) {
    if (!store.find(name)) fail(Exit::Checkpoint, "{}: {} is not a parameter of this model.", path, name);
  }
  for (Parameter* p : store.parameters()) {
    if (!archive.contains(p->name)) {
      if (optional_in_file(p->name)) continue;
      fail(Exit::Checkpoint, "{}: {} is missing.", path, p->name);
    }
    const Shape& shape = archive.info(p->name).shape;
    if (shape.numel() != p->master.shape.numel() ||
        (shape.rank() == p->master.shape.rank() && shape != p->master.shape)) {
      fail(Exit::Checkpoint, "{}: {} has shape {}, the model's is {}.", path, p->name, shape,
           p->master.shape);
    }
    if (!p->master) {  // shared out
      for (const ParamPart& part : store.parts())
        if (part.parameter == p) archive.read_part(p->name, part.begin, part.master);
      continue;
    }
    TensorView to = p->master;
    to.shape = shape;
    to.strides = contiguous_strides(shape);
    archive.read_into(p->name, to);
  }
  store.sync_compute();
}

fs::path find_weights(const fs::path& path) {
  if (!fs::exists(path)) fail(Exit::Checkpoint, "{}: no such file or directory.", path.string());
  if (fs::is_regular_file(path)) return path;
  if (fs::exists(path / "model.safetensors")) return path / "model.safetensors";
  const fs::path root = fs::exists(path / "checkpoints") ? path / "checkpoints" : path;
  if (const auto newest = io::newest_good_checkpoint(root)) return newest->dir / "model.safetensors";
  fs::path found;
  for (const auto& entry : fs::directory_iterator(path)) {
    const auto extension = entry.path().extension();
    if (extension != ".pth" && extension != ".safetensors") continue;
    if (entry.path().filename() == "golden.safetensors") continue;
    if (!found.empty())
      fail(Exit::Checkpoint, "{}: holds several weight files; name one of them.", path.string());
    found = entry.path();
  }
  if (found.empty()) fail(Exit::Checkpoint, "{}: no checkpoint and no weight file in here.", path.string());
  return found;
}

ParamStore::Types param_types(Impl impl, DType compute) {
  if (impl == Impl::Ref) return {DType::F64, DType::F64};
  return {DType::F32, compute};
}

std::unique_ptr<LoadedModel> load_model(const fs::path& path, Impl impl, DType compute, bool gradients,
                                        std::optional<Device> device) {
  const fs::path file = find_weights(path);
  if (file.filename() == "model.safetensors" && fs::exists(file.parent_path() / "manifest.json")) {
    io::verify_checkpoint(file.parent_path());
  }
  const io::TensorArchive archive = io::open_archive(file);
  auto loaded = std::make_unique<LoadedModel>(device.value_or(device_of(impl)), param_types(impl, compute));
  loaded->file = file;
  const ModelSpec spec = spec_from_archive(archive);
  loaded->model = std::make_unique<LanguageModel>(spec, loaded->store.root());
  loaded->store.allocate(MemoryMode::Live, gradients);
  load_parameters(loaded->store, archive);
  const fs::path tokenizer = data::find_tokenizer(fs::absolute(file).parent_path());
  if (!tokenizer.empty()) loaded->tokenizer = data::open_tokenizer(tokenizer.string());
  const auto found = archive.metadata().find("step");
  if (found != archive.metadata().end()) {
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), loaded->step);
  }
  return loaded;
}

}  // namespace rt
