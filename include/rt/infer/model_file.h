#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "rt/core/exec.h"
#include "rt/data/tokenizer.h"
#include "rt/io/archive.h"
#include "rt/nn/language_model.h"

namespace rt {

// The spec behind an official RWKV-7 checkpoint, from its names and shapes alone. Exit::Checkpoint with the
// path and the first thing that does not fit.
ModelSpec spec_from_archive(const io::TensorArchive& archive);

// Copies every parameter by name into the masters and refreshes the compute copy. A parameter the file lacks,
// or has in another shape, or a tensor the model does not know is Exit::Checkpoint. blocks.0.att.v0/v1/v2,
// which RWKV-7 does not use, may be missing: they keep what they hold (released files leave them out,
// reference rwkv.md 1.4).
void load_parameters(ParamStore& store, const io::TensorArchive& archive);

// A model ready to run, with the memory it owns.
struct LoadedModel {
  std::filesystem::path file;  // the weights
  ParamStore store;
  std::unique_ptr<LanguageModel> model;
  std::unique_ptr<data::Tokenizer> tokenizer;  // null when nothing beside the weights tells it
  std::uint64_t step = 0;

  LoadedModel(Device device, ParamStore::Types types) : store(device, types) {}
};

// The weights behind what a user may name: a weight file (.pth, .safetensors), a checkpoint directory, or a
// run directory (its newest good checkpoint).
std::filesystem::path find_weights(const std::filesystem::path& path);

// `device`: where to; empty: the first of what `impl` runs on.
std::unique_ptr<LoadedModel> load_model(const std::filesystem::path& path, Impl impl, DType compute,
                                        bool gradients = false, std::optional<Device> device = {});

// Master and compute types of an implementation: f64 throughout for Ref, else f32 masters.
ParamStore::Types param_types(Impl impl, DType compute);

}  // namespace rt
