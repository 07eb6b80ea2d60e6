#pragma once
#include <sched.h>
#include <sys/prctl.h>

#include "tests/apps/cluster_support.h"

// Two machines as a process sees them: a network each, 10.77.0.1 and 10.77.0.2, and a cable between. They
// have no names, and are gone with the processes that hold them, which die with the test.
namespace rt::apps_test {

class TwoMachines {
 public:
  TwoMachines() {
    if (geteuid() != 0 || run_shell("ip -V >/dev/null") != 0) {
      missing_ = "networks of their own need root and ip (apt-get install iproute2)";
      return;
    }
    for (pid_t& holder : holders_) holder = hold();
    const std::string a = std::to_string(holders_[0]), b = std::to_string(holders_[1]);
    const bool joined =
        run_shell("ip link add cable netns " + a + " type veth peer name cable netns " + b) == 0 &&
        inside(0, "ip addr add 10.77.0.1/24 dev cable && ip link set lo up && ip link set cable up") == 0 &&
        inside(1, "ip addr add 10.77.0.2/24 dev cable && ip link set lo up && ip link set cable up") == 0;
    if (!joined) missing_ = "this system joins no networks of one's own (ip link add type veth)";
  }
  ~TwoMachines() {
    for (const pid_t holder : holders_) {
      if (strike(holder, SIGKILL)) waitpid(holder, nullptr, 0);
    }
  }
  TwoMachines(const TwoMachines&) = delete;
  TwoMachines& operator=(const TwoMachines&) = delete;

  const std::string& missing() const { return missing_; }  // why there are none

  // The calling process moves there.
  bool enter(int machine) const {
    const int fd = open(network(machine).c_str(), O_RDONLY | O_CLOEXEC);
    return fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
  }
  int inside(int machine, const std::string& command) const {
    return run_shell("nsenter --net=" + network(machine) + " sh -c '" + command + "'");
  }
  // What is sent from now on comes to nobody, and nobody is told.
  bool lose_what_is_sent() const {
    return inside(0, "ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:99 dev cable nud permanent") == 0 &&
           inside(1, "ip neigh replace 10.77.0.1 lladdr 02:00:00:00:00:99 dev cable nud permanent") == 0;
  }
  bool pull_the_cable() const { return inside(1, "ip link set cable down") == 0; }
  bool mend() const {
    return inside(0, "ip neigh flush dev cable nud permanent") == 0 &&
           inside(1, "ip link set cable up && ip neigh flush dev cable nud permanent") == 0;
  }

 private:
  std::string network(int machine) const { return "/proc/" + std::to_string(holders_[machine]) + "/ns/net"; }

  // A process in a network of its own, once it is.
  static pid_t hold() {
    int ready[2];
    if (pipe(ready) != 0) return -1;
    const pid_t test = getpid(), child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != test || unshare(CLONE_NEWNET) != 0 || write(ready[1], "", 1) != 1) _exit(1);
      close(ready[0]);
      close(ready[1]);
      for (;;) pause();
    }
    close(ready[1]);
    char byte;
    const bool up = child > 0 && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (!up && child > 0) waitpid(child, nullptr, 0);
    return up ? child : -1;
  }

  pid_t holders_[2] = {-1, -1};
  std::string missing_;
};

}  // namespace rt::apps_test
