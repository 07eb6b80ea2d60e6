#pragma once
#include <signal.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "dist/child.h"
#include "dist/watch_words.h"
#include "rt/dist/supervisor.h"

namespace rt::dist {

// SIGTERM, SIGINT, SIGUSR1, SIGUSR2 and SIGCHLD as something to read, while it lives. Threads that are made
// meanwhile do not get them either.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return from_.fd(); }
  const sigset_t& before() const { return before_; }
  std::vector<int> take();  // what came, but for SIGCHLD and for what repeats itself
  std::optional<int> stopped() const { return stopped_; }  // the first that asked to stop
  void wait(Milliseconds most);                            // until one asks to stop

 private:
  sigset_t before_{};
  Socket from_;
  std::optional<int> stopped_;
  int last_ = 0;
  std::chrono::steady_clock::time_point last_at_{};
};

// The run's own log, once there is one.
class RunLog {
 public:
  explicit RunLog(std::filesystem::path file) : file_(std::move(file)) {}
  ~RunLog();
  void join();  // from now on lines go there too, if it is there

 private:
  std::filesystem::path file_;
  bool open_ = false;
};

struct Ending {
  int code = 0;
  std::string cause;       // a sentence; empty: nothing failed
  int local_rank = -1;     // of the cause
  std::int64_t step = -1;  // the last that was told; -1: none was done
  std::chrono::steady_clock::time_point failed_at;
};

struct Restart {
  int number = 0;  // 0: the first start
  std::string cause;
  std::chrono::steady_clock::time_point failed_at;
};

// All processes once, from their start to the end of the last one.
class Attempt {
 public:
  Attempt(const SupervisorOptions& options, const std::vector<int>& local_ranks, int local_world,
          const Restart& restart, Signals& signals, RunLog& log);
  ~Attempt();  // of what has not ended
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  Ending run();

 private:
  void start_all();
  void wait_for_something();
  void forward_signals();
  void reap();
  void ended(Child& child);
  void tell_first_step();
  std::int64_t newest_step();
  bool running() const;
  void kill_rest();

  const SupervisorOptions& options_;
  const std::vector<int> local_ranks_;
  const int local_world_;
  const Restart restart_;
  Signals& signals_;
  RunLog& log_;
  StoreServer server_;
  Store store_;
  std::vector<Child> children_;
  Forwarder forwarder_;
  std::optional<Failure> failure_;
  std::chrono::steady_clock::time_point failed_at_;
  std::optional<std::chrono::steady_clock::time_point> kill_at_;
  bool first_step_told_;
};

}  // namespace rt::dist
