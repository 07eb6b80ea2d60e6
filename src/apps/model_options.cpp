#include "apps/model_options.h"

#include "rt/core/parallel.h"

namespace rt {

void ModelOptions::declare(Options& options) {
  options.positional("CKPT", checkpoint,
                     "A weight file (.safetensors, .pth), a checkpoint or a run directory");
  options.text("--tokenizer", tokenizer,
               "bytes, a tokenizer file or a directory with one; default: what lies beside the weights");
  options.choice("--precision", precision, {"f32", "bf16"}, "Of weights and activations");
  options.text("--device", device, "auto (a GPU where there is one), cpu, cuda");
  options.count("--threads", threads, "Threads; 0: one per core");
}

std::unique_ptr<LoadedModel> ModelOptions::load() const {
  use_threads(threads);
  auto loaded = load_model(checkpoint, impl(), compute(), false, parse_device(device));
  if (tokenizer) loaded->tokenizer = open_tokenizer(*tokenizer);
  const std::int64_t vocab = loaded->model->spec().vocab;
  if (loaded->tokenizer && loaded->tokenizer->vocab_size() > vocab) {
    fail(Exit::Config, "--tokenizer: it knows {} tokens, the model only {}.", loaded->tokenizer->vocab_size(),
         vocab);
  }
  return loaded;
}

std::unique_ptr<data::Tokenizer> open_tokenizer(const std::string& name) {
  try {
    return data::open_tokenizer(name);
  } catch (const Error& e) {
    if (e.code() != Exit::Config) throw;
    fail(Exit::Config, "--tokenizer: {}", e.what());
  }
}

void use_threads(std::int64_t threads) {
  if (threads > 4096) fail(Exit::Config, "--threads: {} is not a number of threads.", threads);
  if (threads > 0) set_num_threads(static_cast<int>(threads));
}

}  // namespace rt
