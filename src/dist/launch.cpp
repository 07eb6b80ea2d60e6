#include "rt/dist/launch.h"

#include <charconv>
#include <cstdlib>

#include "rt/core/error.h"

namespace rt::dist {
namespace {

// Ports that are made up lie in [kFirstPort, kFirstPort + kPorts).
constexpr int kFirstPort = 20000, kPorts = 20000;

int port_of(std::string_view job) {  // the same in all processes of a job, and rarely that of another
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const char c : job) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return kFirstPort + static_cast<int>(hash % kPorts);
}

class Detector {
 public:
  Detector(const Environment& env, const LaunchOptions& given) : env_(env), given_(given) {}

  Launch detect() {
    for (const auto find : {&Detector::from_user, &Detector::from_supervisor, &Detector::from_torchrun,
                            &Detector::from_open_mpi, &Detector::from_pmi, &Detector::from_slurm,
                            &Detector::from_pmix, &Detector::from_kubernetes}) {
      if ((this->*find)()) return checked();
    }
    if (given_.world.value_or(1) > 1) {
      fail(Exit::Config,
           "dist.world is {}, but nothing says which of these this process is: start it with torchrun, srun "
           "or "
           "mpirun, or set dist.rank.",
           *given_.world);
    }
    found_.source = "alone";
    return found_;
  }

 private:
  bool from_user() {
    if (!given_.rank) return false;
    found_.source = "dist";
    if (!given_.world) fail(Exit::Config, "dist.rank is set without dist.world. Set both.");
    found_.rank = *given_.rank;
    found_.world = *given_.world;
    found_.local_rank = given_.local_rank.value_or(0);
    found_.local_world = found_.local_rank + 1;
    return true;
  }

  bool from_supervisor() {
    if (!read("RT_RANK", "RT_WORLD_SIZE", "rwkv-train --nproc")) return false;
    local("RT_LOCAL_RANK", "RT_LOCAL_WORLD_SIZE");
    const HostPort meeting = parse_host_port(env_("RT_STORE").value_or(""), "RT_STORE");
    found_.host = meeting.host;
    found_.port = meeting.port;
    found_.supervised = true;
    return true;
  }

  bool from_torchrun() {
    // Where another launcher names the rank, this may be how it is told the size (read_rank).
    if (!env_("RANK") && (env_("PMIX_RANK") || env_("JOB_COMPLETION_INDEX"))) return false;
    if (!read("RANK", "WORLD_SIZE", "torchrun")) return false;
    local("LOCAL_RANK", "LOCAL_WORLD_SIZE");
    found_.host = env_("MASTER_ADDR").value_or("");
    // The agent itself listens at MASTER_PORT.
    if (const auto port = number("MASTER_PORT", 1, 65534)) found_.port = *port + 1;
    return true;
  }

  bool from_open_mpi() {
    if (!read("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "Open MPI")) return false;
    local("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE");
    meet_at_first_node({"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"});
    return true;
  }

  // Slurm sets these two as well, and then knows more. (Hydra starts its helpers as a step of Slurm.)
  bool from_pmi() {
    if (env_("SLURM_STEP_ID") && !env_("MPI_LOCALRANKID")) return false;
    if (!read("PMI_RANK", "PMI_SIZE", "PMI")) return false;
    local("MPI_LOCALRANKID", "MPI_LOCALNRANKS");
    meet_at_first_node({"PMI_ID", "HYDI_CONTROL_FD"});
    return true;
  }

  bool from_slurm() {
    // A step may have fewer tasks than the job.
    const char* const tasks = first_set("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS");
    if (!env_("SLURM_STEP_ID")) {  // in a batch script, or a shell of salloc: the tasks are not started yet
      const int n = number(tasks, 1, kMost).value_or(1);
      if (n > 1 && given_.world.value_or(0) != 1) {
        fail(Exit::Config,
             "this process sees world size 1 but SLURM_NTASKS={}: start it with srun; refusing to train on "
             "one of {} "
             "tasks. (dist.world: 1 does so on purpose.)",
             n, n);
      }
      return false;
    }
    if (!env_(tasks) || !read("SLURM_PROCID", tasks, "Slurm")) return false;
    local("SLURM_LOCALID", "");
    if (const auto per_node = env_(first_set("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"))) {
      const std::vector<int> nodes = expand_tasks_per_node(*per_node);
      const auto node = static_cast<std::size_t>(number("SLURM_NODEID", 0, kMost).value_or(0));
      if (node < nodes.size()) found_.local_world = nodes[node];
    }
    meet_at_first_node({"SLURM_JOB_ID"});
    return true;
  }

  bool from_pmix() { return read_rank("PMIX_RANK", "PMIx"); }
  bool from_kubernetes() { return read_rank("JOB_COMPLETION_INDEX", "Kubernetes"); }

  // Of a launcher that does not say how many there are.
  bool read_rank(const char* variable, const char* source) {
    const auto rank = number(variable, 0, kMost - 1);
    if (!rank) return false;
    found_.source = source;
    found_.rank = *rank;
    const auto world = given_.world ? given_.world : number("WORLD_SIZE", 1, kMost);
    if (!world) {
      fail(Exit::Config,
           "{}={} says which process this is, but not of how many. Set dist.world (1 for a run alone).",
           variable, *rank);
    }
    found_.world = *world;
    return true;
  }

  // Rank and world size of one launcher; false when it says nothing.
  bool read(const char* rank, const char* world, const char* source) {
    const auto r = number(rank, 0, kMost - 1), w = number(world, 1, kMost);
    if (!r && !w) return false;
    if (!r || !w) {
      fail(Exit::Config,
           "{} is set but {} is not: the environment of {} is incomplete. Unset the one or set the other.",
           r ? rank : world, r ? world : rank, source);
    }
    found_.source = source;
    found_.rank = *r;
    found_.world = *w;
    return true;
  }

  const char* first_set(const char* one, const char* other) const { return env_(one) ? one : other; }

  // On this machine; "" for a launcher that does not say how many there are.
  void local(const char* rank, const char* world) {
    found_.local_rank = number(rank, 0, kMost - 1).value_or(0);
    found_.local_world = number(world, 1, kMost).value_or(found_.local_rank + 1);
  }

  void meet_at_first_node(std::initializer_list<const char*> job_names) {
    for (const char* name : {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"}) {
      if (const auto list = env_(name); list && found_.host.empty())
        found_.host = expand_nodelist(*list).front();
    }
    if (found_.host.empty() && found_.local_world == found_.world) found_.host = "127.0.0.1";
    std::string job;
    for (const char* name : job_names) job += env_(name).value_or("") + "/";
    found_.port = port_of(job);
  }

  std::optional<int> number(const char* name, int least, int most) const {
    const auto text = env_(name);
    if (!text) return std::nullopt;
    int n = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), n);
    if (error != std::errc() || end != text->data() + text->size() || n < least || n > most)
      fail(Exit::Config, "{}=\"{}\" is not a number from {} to {}.", name, *text, least, most);
    return n;
  }

  Launch checked() {
    if (found_.rank < 0 || found_.rank >= found_.world)
      fail(Exit::Config, "rank {} of a world of {} (from {}): ranks go from 0 to {}.", found_.rank,
           found_.world, found_.source, found_.world - 1);
    if (found_.supervised) return found_;
    if (given_.world && *given_.world != found_.world) {
      fail(Exit::Config,
           "dist.world is {}, but {} started {} processes. Remove dist.world, or start as many.",
           *given_.world, found_.source, found_.world);
    }
    if (found_.local_rank >= found_.local_world || found_.local_world > found_.world) {
      fail(Exit::Config, "local rank {} of {} in a world of {} (from {}) cannot be.", found_.local_rank,
           found_.local_world, found_.world, found_.source);
    }
    if (!given_.rendezvous.empty()) {
      const HostPort meeting = parse_host_port(given_.rendezvous, "dist.rendezvous");
      found_.host = meeting.host;
      found_.port = meeting.port;
    }
    if (found_.world == 1) {
      found_.host.clear();
      found_.port = 0;
    } else if (found_.host.empty() || found_.port == 0) {
      fail(Exit::Config,
           "{} processes (from {}), but nothing says where they meet. Set dist.rendezvous: host:port, of a "
           "port that is free on the machine of rank 0.",
           found_.world, found_.source);
    }
    return found_;
  }

  static constexpr int kMost = 1 << 20;
  const Environment& env_;
  const LaunchOptions& given_;
  Launch found_;
};

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (!value || *value == '\0') return std::nullopt;
    return value;
  };
}

Launch detect_launch(const Environment& env, const LaunchOptions& given) {
  return Detector(env, given).detect();
}

HostPort parse_host_port(std::string_view text, std::string_view what) {
  const std::size_t colon = text.rfind(':');
  HostPort out;
  if (colon != std::string_view::npos) {
    const std::string_view port = text.substr(colon + 1);
    std::string_view host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
    const bool whole =
        error == std::errc() && end == port.data() + port.size() && out.port >= 1 && out.port <= 65535;
    const bool plain =
        bracketed || host.find_first_of(":[]") == std::string_view::npos;  // v6 needs its brackets
    if (whole && plain && !host.empty()) {
      out.host = host;
      return out;
    }
  }
  fail(Exit::Config, "{}: \"{}\" is not host:port, e.g. node01:29501 or [fe80::1]:29501.", what, text);
}

}  // namespace rt::dist
