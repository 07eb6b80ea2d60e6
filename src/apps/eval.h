#pragma once
#include <memory>
#include <string>

#include "rt/infer/model_file.h"
#include "rt/train/objective.h"

namespace rt {

// Memory for evaluating batches of this shape.
std::unique_ptr<Workspace> plan_evaluation(Device device, Objective& objective, std::int64_t rows,
                                           std::int64_t seq_len, bool resets);

// Prints the loss of each sequence in a batch that training kept (bad/step-N.safetensors), the parameters
// that are not finite, and the first part of the model whose output is not.
void eval_kept_batch(LoadedModel& loaded, const std::string& file);

}  // namespace rt
