#pragma once
#include <string>

#include "rt/infer/model_file.h"

namespace rt {

// Prints the loss of each sequence in a batch that training kept (bad/step-N.safetensors), the parameters
// that are not finite, and the first part of the model whose output is not.
void eval_kept_batch(LoadedModel& loaded, const std::string& file);

}  // namespace rt
