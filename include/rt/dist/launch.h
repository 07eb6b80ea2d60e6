#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rt::dist {

// Where this process stands among those that train together, and who said so.
struct Launch {
  int rank = 0, world = 1;
  // Among those of this machine. A supervisor that goes on without one of them leaves its number out.
  int local_rank = 0, local_world = 1;
  std::string source;  // "torchrun", "Open MPI", "PMI", "PMIx", "Slurm", "Kubernetes", "dist",
                       // "rwkv-train --nproc", "alone"
  std::string host;    // where the processes meet: that of rank 0; empty when alone
  int port = 0;
  bool supervised = false;  // the store is served there already, by who started us and sees how we end
  friend bool operator==(const Launch&, const Launch&) = default;
};

// What the user says (the dist section); whatever is left out comes from the environment.
struct LaunchOptions {
  std::optional<int> rank, world, local_rank;
  std::string rendezvous;  // "host:port", "[v6]:port"; empty: from the environment
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();  // an empty variable is absent

// The first of these that says anything: `given`; RT_RANK, RT_WORLD_SIZE (supervise() in
// rt/dist/supervisor.h); RANK, WORLD_SIZE (torchrun, Kubeflow); OMPI_COMM_WORLD_*; PMI_*; a step of Slurm;
// PMIX_RANK; JOB_COMPLETION_INDEX (an indexed Job of Kubernetes); else one process alone. Nothing is linked
// for this: only variables are read.
//
// Exit::Config, one line, when what was found is incomplete or contradicts itself, and for a process that
// thinks it is alone inside a Slurm job of several tasks: never a silent world of one.
Launch detect_launch(const Environment& env, const LaunchOptions& given = {});

// Slurm's short form: "n[1-3,07],gpu-a[00-01]-x" is n1 n2 n3 n07 gpu-a00-x gpu-a01-x. Exit::Config when it is
// none.
std::vector<std::string> expand_nodelist(std::string_view list);
// "2(x3),1": 2, 2, 2, 1 tasks on four nodes. Exit::Config.
std::vector<int> expand_tasks_per_node(std::string_view list);

struct HostPort {
  std::string host;
  int port = 0;
  friend bool operator==(const HostPort&, const HostPort&) = default;
};
HostPort parse_host_port(std::string_view text, std::string_view what);  // Exit::Config, naming `what`

}  // namespace rt::dist
