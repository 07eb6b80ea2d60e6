#pragma once
#include <sys/socket.h>
#include <sys/syscall.h>

#include <map>
#include <sstream>

#include "tests/apps/apps_support.h"

// What can happen to the processes of a run.
namespace rt::apps_test {

inline std::vector<pid_t> children_of(pid_t process) {
  const std::string id = std::to_string(process);
  std::istringstream in(slurp("/proc/" + id + "/task/" + id + "/children"));
  return {std::istream_iterator<pid_t>(in), {}};
}

// By its rank, of a supervisor's; -1: none now.
inline pid_t process_of(pid_t supervisor, const std::string& rank) {
  for (const pid_t child : children_of(supervisor)) {
    const std::string variables = slurp("/proc/" + std::to_string(child) + "/environ");
    if (variables.find("RT_RANK=" + rank + '\0') != std::string::npos) return child;
  }
  return -1;
}

// Never what kill() takes for many processes.
inline bool strike(pid_t process, int signal) { return process > 1 && kill(process, signal) == 0; }

// It has ended, and is waited for by nobody so far.
inline bool waitid_gone(pid_t process) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid != 0;
}

// Both ends of every connection of another process hear that it is over.
inline bool cut_connections(pid_t process) {
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
  if (handle < 0) return false;
  int cut = 0;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(process) + "/fd", gone)) {
    if (!fs::read_symlink(entry.path(), gone).string().starts_with("socket:")) continue;
    const int fd =
        static_cast<int>(syscall(SYS_pidfd_getfd, handle, std::stoi(entry.path().filename().string()), 0));
    if (fd < 0) continue;
    cut += shutdown(fd, SHUT_RDWR) == 0;
    close(fd);
  }
  close(handle);
  return cut > 0;
}

inline int run_shell(const std::string& command) { return system((command + " 2>/dev/null").c_str()); }

inline std::string step_name(int step) {
  std::string digits = std::to_string(step);
  return "step-" + std::string(8 - digits.size(), '0') + digits;
}

// The last checkpoint of a run; -1: none.
inline int newest(const fs::path& run_dir) {
  int step = -1;
  for (const auto& entry : fs::directory_iterator(run_dir / "checkpoints")) {
    const std::string file = entry.path().filename();
    if (file.starts_with("step-") && file.size() == 13) step = std::max(step, std::stoi(file.substr(5)));
  }
  return step;
}

}  // namespace rt::apps_test
