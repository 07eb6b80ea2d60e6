#pragma once
#include "rt/config/run_config.h"

namespace rt {

// Finds out what rwkv-train would find out before its first step, prints it on stdout and writes nothing.
// Throws what the run would throw: Exit::Config, Data, Checkpoint or Memory.
void check_run(const RunConfig& config);

}  // namespace rt
