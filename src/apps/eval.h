#pragma once
#include <optional>
#include <string>

#include "rt/infer/model_file.h"
#include "rt/train/eval_task.h"

namespace rt {

// Prints the loss of each sequence in a batch that training kept (bad/step-N.safetensors), the parameters
// that are not finite, and the first part of the model whose output is not.
void eval_kept_batch(LoadedModel& loaded, const std::string& file);

// Prints the figures of a task and, where `out` names a file, writes them there as JSON. The model has a
// tokenizer. `rows`: texts at a time; 0: the scorer's own number.
void eval_task(const LoadedModel& loaded, Impl impl, DType compute, std::int64_t rows, const EvalTask& task,
               const std::optional<std::string>& out);

}  // namespace rt
