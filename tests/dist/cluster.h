#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "rt/dist/store.h"

// Runs cluster_member (cluster_member.cpp) as several processes.
namespace rt::dist {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;
using SteadyClock = std::chrono::steady_clock;

class Cluster : public ::testing::Test {
 protected:
  Cluster() {
    std::string name = (fs::temp_directory_path() / "rt-dist-XXXXXX").string();
    dir_ = mkdtemp(name.data());
  }
  ~Cluster() override {
    for (const pid_t pid : started_) kill(pid, SIGKILL);
    for (const pid_t pid : started_) waitpid(pid, nullptr, 0);
    fs::remove_all(dir_);
  }

  // With its output in out-NAME.
  pid_t start(const std::string& name, const Words& variables, const Words& arguments) {
    Words words = {std::string(RT_BINARY_DIR) + "/bin/cluster_member", "dir=" + dir_.string()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const std::string out = dir_ / ("out-" + name);
    const pid_t pid = fork();
    if (pid == 0) {
      for (const std::string& v : variables)
        setenv(v.substr(0, v.find('=')).c_str(), v.substr(v.find('=') + 1).c_str(), 1);
      dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600), STDOUT_FILENO);
      dup2(STDOUT_FILENO, STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
    started_.push_back(pid);
    return pid;
  }

  // As a launcher starts them: rank 0 serves the store.
  std::vector<pid_t> start_ranks(int world, const Words& arguments) {
    int port = 0;
    { port = StoreServer(0).port(); }
    std::vector<pid_t> pids;
    for (int r = 0; r < world; ++r) {
      const std::string rank = std::to_string(r), all = std::to_string(world);
      pids.push_back(
          start(rank,
                {"RANK=" + rank, "LOCAL_RANK=" + rank, "WORLD_SIZE=" + all, "LOCAL_WORLD_SIZE=" + all,
                 "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + std::to_string(port - 1)},
                arguments));
    }
    return pids;
  }

  pid_t supervise(int processes, Words arguments) {
    arguments.insert(arguments.begin(), {"--nproc", std::to_string(processes)});
    return start("supervisor", {}, arguments);
  }

  // Its exit code; 128 + signal; -1 when it has not ended within `within`.
  int wait(pid_t pid, Milliseconds within = Milliseconds(60'000)) {
    int status = 0;
    const bool ended = until([&] { return waitpid(pid, &status, WNOHANG) == pid; }, within);
    if (!ended) return -1;
    std::erase(started_, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  static bool until(const std::function<bool()>& true_, Milliseconds within = Milliseconds(60'000)) {
    const auto deadline = SteadyClock::now() + within;
    while (!true_()) {
      if (SteadyClock::now() > deadline) return false;
      std::this_thread::sleep_for(Milliseconds(5));
    }
    return true;
  }

  std::string out(const std::string& name) const { return slurp(dir_ / ("out-" + name)); }
  std::string supervisor() const { return out("supervisor"); }
  std::int64_t number(const std::string& file) const {
    std::int64_t n = 0;
    std::ifstream(dir_ / file) >> n;
    return n;
  }
  bool reach(std::int64_t step) const {
    return until([&] { return number("step") >= step; });
  }
  pid_t pid(int rank) const { return static_cast<pid_t>(number("pid" + std::to_string(rank))); }
  static bool alive(pid_t pid) {  // and not just unburied by the init of a container
    const std::string stat = slurp("/proc/" + std::to_string(pid) + "/stat");
    return !stat.empty() && stat.find(") Z ") == std::string::npos;
  }

  static std::string slurp(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path dir_;

 private:
  std::vector<pid_t> started_;
};

inline int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

inline bool has(const std::string& text, const std::string& part) { return count(text, part) > 0; }

}  // namespace rt::dist
