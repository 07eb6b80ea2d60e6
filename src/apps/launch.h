#pragma once
#include <cstdint>

#include "rt/config/run_config.h"
#include "rt/dist/launch.h"
#include "rt/dist/session.h"

namespace rt {

// What the dist section says of the launch, of this process' part in the run, and of its failures.
dist::LaunchOptions launch_options(const config::DistSection& section);
dist::SessionOptions session_options(const RunConfig& run);

// How many processes to start and watch over; 0: this one trains. `nproc` is what --nproc says; 0, without
// it: one for each GPU that is seen here, where there are several and `device` is auto.
int processes_to_start(const RunConfig& run, std::int64_t nproc);  // Exit::Config
// Starts them with the same command line less --nproc; returns the exit code of the run.
int supervise_training(const RunConfig& run, int processes, int argc, char** argv);

// Trains in this process, alone or as one of several that a launcher started.
Exit train_here(const RunConfig& run);

}  // namespace rt
