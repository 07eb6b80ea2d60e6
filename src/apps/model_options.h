#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "apps/options.h"
#include "rt/data/tokenizer.h"
#include "rt/infer/model_file.h"

namespace rt {

// The options of every verb that runs a stored model.
struct ModelOptions {
  std::string checkpoint;
  std::optional<std::string> tokenizer;
  std::string precision = "f32", device = "auto";
  std::int64_t threads = 0;

  void declare(Options& options);
  DType compute() const { return precision == "bf16" ? DType::BF16 : DType::F32; }
  Impl impl() const { return impl_of(parse_device(device)); }
  // Sets the threads and loads the model. Its tokenizer is the one asked for, else the checkpoint's, else
  // null.
  std::unique_ptr<LoadedModel> load() const;
};

// data::open_tokenizer; an error that is the user's choice names the option.
std::unique_ptr<data::Tokenizer> open_tokenizer(const std::string& name);

void use_threads(std::int64_t threads);  // 0: the default

}  // namespace rt
