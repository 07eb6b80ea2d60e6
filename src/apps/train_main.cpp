// rwkv-train CONFIG.yaml [--set a.b=c]... [--nproc N] [--check]
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "apps/check.h"
#include "apps/guard.h"
#include "apps/launch.h"
#include "apps/options.h"
#include "apps/version.h"
#include "rt/core/error.h"
#include "rt/core/log.h"

namespace {

int train(int argc, char** argv) {
  std::string config;
  std::vector<std::string> overrides;
  bool check = false, version = false;
  std::int64_t nproc = 0;
  rt::Options options("rwkv-train", "Trains the model that CONFIG describes, or goes on where it stopped.");
  if (argc < 2) {
    std::fputs(
        "usage: rwkv-train CONFIG.yaml [--set section.key=value]... [--nproc N] [--check]\n"
        "       rwkv-train --help | --version\n",
        stderr);
    return static_cast<int>(rt::Exit::Config);
  }
  if (argc == 2 && std::string(argv[1]) == "--version") {
    std::fputs(rt::version_text("rwkv-train").c_str(), stdout);
    return 0;
  }
  options.positional("CONFIG", config, "The run, a YAML file");
  options.texts("--set", overrides, "Replaces one key: section.key=value. Repeatable");
  options.count("--nproc", nproc,
                "Starts N processes on this machine and watches over them; 0: trains in this one");
  options.flag("--check", check, "Only says what the run would take, and what is wrong with it");
  options.flag("--version", version, "Prints the version and what was built in");
  if (!options.parse(argc, argv)) return 0;
  rt::log::use_stdout();
  rt::RunConfig run = rt::RunConfig::load(config, overrides);
  if (check) {
    rt::check_run(run);
    return 0;
  }
  if (const int processes = rt::processes_to_start(run, nproc); processes > 0)
    return rt::supervise_training(run, processes, argc, argv);
  return static_cast<int>(rt::train_here(run));
}

}  // namespace

int main(int argc, char** argv) {
  return rt::guarded([&] { return train(argc, argv); });
}
