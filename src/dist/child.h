#pragma once
#include <signal.h>
#include <sys/types.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "dist/socket.h"

namespace rt::dist {

// One stream of a process, read line by line.
struct ChildStream {
  Socket from;  // a pipe; none: the stream is the caller's own
  int to = -1;
  bool all = false;   // else only errors and warnings are passed on
  std::string begun;  // of a line
};

struct Child {
  int rank = 0, local_rank = 0;
  pid_t pid = -1;
  std::optional<int> status;  // of waitpid, once it has ended
  ChildStream out, err;
  std::string last_error;  // line on stderr
};

struct ChildPlan {
  std::vector<std::string> command;
  std::vector<std::string> variables;  // "NAME=value", before those of the caller
  int rank = 0, local_rank = 0;
};

// Forks and executes. The child dies with the thread that called this, leads a process group of its own (a
// terminal's signals reach the caller only), and blocks the signals of `mask`. Exit::Failure when there is no
// process to be had; a program that cannot be executed ends with 127.
Child start(const ChildPlan& plan, const sigset_t& mask);

// Passes on what was written. The same text of several processes passes once.
class Forwarder {
 public:
  void drain(Child& child);   // what there is by now
  void finish(Child& child);  // also what ends without a newline

 private:
  void drain(Child& child, ChildStream& stream);
  void pass(Child& child, ChildStream& stream, const std::string& line);

  static constexpr std::size_t kRemembered = 64;
  std::deque<std::string> passed_;
};

// "killed by SIGKILL", "ended with exit code 3".
std::string how_it_ended(int status);

}  // namespace rt::dist
