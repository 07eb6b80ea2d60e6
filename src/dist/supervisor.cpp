#include "rt/dist/supervisor.h"

#include <algorithm>
#include <map>

#include "dist/attempt.h"
#include "rt/core/error.h"
#include "rt/core/log.h"

namespace rt::dist {
namespace {

constexpr Milliseconds kLongestBackOff(60'000);
constexpr int kFailedStarts = 2;

// What to do after a failure.
class Policy {
 public:
  Policy(const SupervisorOptions& options, Signals& signals) : options_(options), signals_(signals) {
    for (int i = 0; i < options.processes; ++i) local_ranks_.push_back(i);
  }

  const std::vector<int>& local_ranks() const { return local_ranks_; }
  int restarts() const { return restarts_; }

  // Why not to start again; empty: start again.
  std::string after(const Ending& ending) {
    const auto code = static_cast<Exit>(ending.code);
    if (code != Exit::Peer && code != Exit::Failure) return "It would fail again";
    if (signals_.stopped()) return "It was asked to stop";
    if (options_.restarts == 0) return "No restart is allowed";
    if (restarts_ >= options_.restarts) return format("{} restarts did not help", restarts_);
    count_failed_start(ending);
    const bool barren = failed_before_ && ending.step <= furthest_;
    if (barren && !go_on_without(ending.local_rank)) return "No step was gained since the failure before";
    in_vain_ = barren ? in_vain_ + 1 : 0;
    failed_before_ = !barren;  // with other processes it is tried anew
    furthest_ = std::max(furthest_, ending.step);
    ++restarts_;
    return "";
  }

  Milliseconds back_off() const {
    Milliseconds wait = options_.back_off;
    for (int i = 0; i < in_vain_ && wait < kLongestBackOff; ++i) wait *= 2;
    return std::min(wait, kLongestBackOff);
  }

 private:
  void count_failed_start(const Ending& ending) {
    const int before = failed_starts_.contains(ending.local_rank) ? failed_starts_[ending.local_rank] : 0;
    failed_starts_.clear();
    if (ending.step < 0) failed_starts_[ending.local_rank] = before + 1;
  }

  bool go_on_without(int local_rank) {
    if (!options_.elastic || local_ranks_.size() < 2 || failed_starts_[local_rank] < kFailedStarts)
      return false;
    std::erase(local_ranks_, local_rank);
    failed_starts_.clear();
    log::warn("supervisor",
              "local rank {} failed to start {} times: the run goes on without it, in {} processes",
              local_rank, kFailedStarts, local_ranks_.size());
    return true;
  }

  const SupervisorOptions& options_;
  Signals& signals_;
  std::vector<int> local_ranks_;
  std::map<int, int> failed_starts_;  // of the local rank that failed last: how often in a row
  std::int64_t furthest_ = -1;
  bool failed_before_ = false;
  int restarts_ = 0;
  int in_vain_ = 0;  // starts that gained no step, up to the last
};

}  // namespace

int supervise(const SupervisorOptions& options) {
  Signals signals;
  RunLog run_log(options.log);
  Policy policy(options, signals);
  Restart restart;
  for (;;) {
    Ending ending;
    {
      Attempt attempt(options, policy.local_ranks(), options.processes, restart, signals, run_log);
      ending = attempt.run();
    }
    if (ending.cause.empty()) return ending.code;
    restart.failed_at = ending.failed_at;
    restart.cause = ending.cause;
    if (const std::string why_not = policy.after(ending); !why_not.empty()) {
      log::error("supervisor", "{}: not started again. Exit {}.", why_not, ending.code);
      return ending.code;
    }
    restart.number = policy.restarts();
    const Milliseconds wait = policy.back_off();
    log::warn("supervisor", "restart {} of {} in {} s", restart.number, options.restarts,
              static_cast<double>(wait.count()) / 1000);
    signals.wait(wait);
    if (signals.stopped()) {
      log::info("supervisor", "stopped before the restart. Run the same command to continue. Exit {}.",
                static_cast<int>(Exit::Interrupted));
      return static_cast<int>(Exit::Interrupted);
    }
  }
}

}  // namespace rt::dist
