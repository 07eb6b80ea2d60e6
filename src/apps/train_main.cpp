// rwkv-train CONFIG.yaml [--set a.b=c]... [--check]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/check.h"
#include "apps/guard.h"
#include "apps/options.h"
#include "apps/version.h"
#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/dist/launch.h"
#include "rt/train/trainer.h"

namespace {

// The processes that train this run, as launchers and the file say. Never a silent run of one.
std::unique_ptr<rt::Team> team_of(const rt::config::DistSection& section) {
  const auto number = [](const std::optional<std::int64_t>& n) {
    return n ? std::optional(static_cast<int>(std::min<std::int64_t>(*n, INT32_MAX))) : std::nullopt;
  };
  const rt::dist::LaunchOptions given{number(section.rank), number(section.world), number(section.local_rank),
                                      section.rendezvous.value_or("")};
  const rt::dist::Launch launch = rt::dist::detect_launch(rt::dist::process_environment(), given);
  if (launch.world == 1) return std::make_unique<rt::Team>();
  if (launch.rank != 0) rt::log::set_level(rt::log::Level::Warn);
  return std::make_unique<rt::Team>(launch, rt::version_text("rwkv-train"));
}

int train(int argc, char** argv) {
  std::string config;
  std::vector<std::string> overrides;
  bool check = false, version = false;
  rt::Options options("rwkv-train", "Trains the model that CONFIG describes, or goes on where it stopped.");
  if (argc < 2) {
    std::fputs(
        "usage: rwkv-train CONFIG.yaml [--set section.key=value]... [--check]\n"
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
  options.flag("--check", check, "Only says what the run would take, and what is wrong with it");
  options.flag("--version", version, "Prints the version and what was built in");
  if (!options.parse(argc, argv)) return 0;
  rt::log::use_stdout();
  rt::RunConfig run = rt::RunConfig::load(config, overrides);
  if (check) {
    rt::check_run(run);
    return 0;
  }
  auto team = team_of(run.dist);
  return static_cast<int>(rt::Trainer(std::move(run), std::move(team)).fit());
}

}  // namespace

int main(int argc, char** argv) {
  return rt::guarded([&] { return train(argc, argv); });
}
