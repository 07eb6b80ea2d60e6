#include "apps/launch.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/version.h"
#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/dist/supervisor.h"
#include "rt/train/trainer.h"

namespace rt {
namespace {

constexpr std::string_view kOption = "--nproc";
constexpr std::int64_t kMostProcesses = 1024;

std::vector<std::string> command_without_nproc(int argc, char** argv) {
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  std::vector<std::string> command = {self.empty() ? argv[0] : self.string()};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == kOption) {
      ++i;
    } else if (!word.starts_with(std::string(kOption) + "=")) {
      command.emplace_back(word);
    }
  }
  return command;
}

}  // namespace

dist::LaunchOptions launch_options(const config::DistSection& section) {
  const auto number = [](const std::optional<std::int64_t>& n) {
    return n ? std::optional(static_cast<int>(std::min<std::int64_t>(*n, INT32_MAX))) : std::nullopt;
  };
  return {number(section.rank), number(section.world), number(section.local_rank),
          section.rendezvous.value_or("")};
}

dist::SessionOptions session_options(const RunConfig& run) {
  const config::DistTimeouts& t = run.dist.timeouts;
  dist::SessionOptions options;
  options.timeouts = {t.init, t.first_step, t.step};
  options.heartbeat = run.dist.heartbeat;
  options.dir = run.run.dir;
  return options;
}

// One process per GPU that is seen here, unless the run says which it takes or how many there are.
int processes_for_gpus(const RunConfig& run) {
  const int gpus = cuda_device_count();
  if (gpus < 2 || run.device || run.dist.rank || run.dist.world) return 0;
  return dist::detect_launch(dist::process_environment(), launch_options(run.dist)).source == "alone" ? gpus
                                                                                                      : 0;
}

int processes_to_start(const RunConfig& run, std::int64_t nproc) {
  if (nproc == 0) return processes_for_gpus(run);
  if (nproc > kMostProcesses)
    fail(Exit::Config, "--nproc: {} processes on one machine are too many. Use {} or fewer.", nproc,
         kMostProcesses);
  if (run.dist.rank) fail(Exit::Config, "--nproc numbers the processes itself. Remove dist.rank.");
  if (run.dist.world && *run.dist.world != nproc) {
    fail(Exit::Config, "--nproc {} starts all processes of the run, but dist.world is {}. Remove dist.world.",
         nproc, *run.dist.world);
  }
  dist::LaunchOptions here;
  if (run.dist.world == 1) here.world = 1;
  const dist::Launch launch = dist::detect_launch(dist::process_environment(), here);
  if (launch.source != "alone") {
    fail(Exit::Config,
         "--nproc starts the processes of a run, but this one is rank {} of {} already (from {}). Leave "
         "--nproc out.",
         launch.rank, launch.world, launch.source);
  }
  return static_cast<int>(nproc);
}

int supervise_training(const RunConfig& run, int processes, int argc, char** argv) {
  dist::SupervisorOptions options;
  options.processes = processes;
  options.command = command_without_nproc(argc, argv);
  // Started again, it goes on with what the first start wrote.
  if (run.run.on_exists != config::OnExists::Resume)
    options.restart_arguments = {"--set", "run.on_exists=resume"};
  if (run.checkpoint.resume == "never")
    options.restart_arguments.insert(options.restart_arguments.end(), {"--set", "checkpoint.resume=auto"});
  options.restarts = static_cast<int>(std::min<std::int64_t>(run.dist.restarts, INT32_MAX));
  options.elastic = run.dist.elastic;
  options.log = std::filesystem::path(run.run.dir) / "log.txt";
  return dist::supervise(options);
}

Exit train_here(const RunConfig& run) {
  const dist::Launch launch = dist::detect_launch(dist::process_environment(), launch_options(run.dist));
  if (launch.rank != 0) log::set_level(log::Level::Warn);
  dist::Session session(launch, session_options(run));
  std::optional<Trainer> trainer;  // outlives what runs in the session, as it waits for peers when it ends
  return session.run([&] {
    trainer.emplace(run, std::make_unique<Team>(session, version_text("rwkv-train")));
    return trainer->fit();
  });
}

}  // namespace rt
