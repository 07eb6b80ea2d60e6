#include "dist/attempt.h"

#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "rt/core/log.h"
#include "rt/core/parallel.h"

namespace rt::dist {
namespace {

using Clock = std::chrono::steady_clock;
constexpr Milliseconds kLook(100), kConnect(5000);

double seconds_since(Clock::time_point then) {
  const auto ms = std::chrono::duration_cast<Milliseconds>(Clock::now() - then).count();
  return static_cast<double>(ms / 100) / 10;
}

}  // namespace

RunLog::~RunLog() {
  if (open_) log::close_file();
}

void RunLog::join() {
  std::error_code ignored;
  if (open_ || file_.empty() || !std::filesystem::exists(file_, ignored)) return;
  log::open_file(file_);
  open_ = true;
}

Attempt::Attempt(const SupervisorOptions& options, const std::vector<int>& local_ranks, int local_world,
                 const Restart& restart, Signals& signals, RunLog& log)
    : options_(options),
      local_ranks_(local_ranks),
      local_world_(local_world),
      restart_(restart),
      signals_(signals),
      log_(log),
      server_(0),
      store_("127.0.0.1", server_.port(), kConnect),
      first_step_told_(restart.number == 0) {}

Attempt::~Attempt() {
  kill_rest();
  for (Child& child : children_) {
    if (!child.status) ::waitpid(child.pid, nullptr, 0);
  }
}

Ending Attempt::run() {
  start_all();
  while (running()) {
    wait_for_something();
    forward_signals();
    for (Child& child : children_) forwarder_.drain(child);
    reap();
    if (!first_step_told_) tell_first_step();
    if (kill_at_ && Clock::now() >= *kill_at_) kill_rest();
  }
  Ending ending;
  ending.step = newest_step();
  if (failure_) {
    ending.code = static_cast<int>(failure_->code);
    ending.cause = describe(*failure_);
    ending.failed_at = failed_at_;
    const auto rank = static_cast<std::size_t>(failure_->rank);
    if (rank < local_ranks_.size()) ending.local_rank = local_ranks_[rank];
    return ending;
  }
  for (const Child& child : children_) ending.code = std::max(ending.code, WEXITSTATUS(*child.status));
  return ending;
}

void Attempt::start_all() {
  const int world = static_cast<int>(local_ranks_.size());
  for (int rank = 0; rank < world; ++rank) {
    ChildPlan plan;
    plan.command = options_.command;
    if (restart_.number > 0) {
      plan.command.insert(plan.command.end(), options_.restart_arguments.begin(),
                          options_.restart_arguments.end());
    }
    plan.rank = rank;
    plan.local_rank = local_ranks_[static_cast<std::size_t>(rank)];
    plan.variables = {format("RT_RANK={}", rank), format("RT_WORLD_SIZE={}", world),
                      format("RT_LOCAL_RANK={}", plan.local_rank),
                      format("RT_LOCAL_WORLD_SIZE={}", local_world_),
                      format("RT_STORE=127.0.0.1:{}", server_.port())};
    if (!std::getenv("RT_NUM_THREADS"))
      plan.variables.push_back(format("RT_NUM_THREADS={}", std::max(1, num_threads() / world)));
    children_.push_back(start(plan, signals_.before()));
  }
}

void Attempt::wait_for_something() {
  std::vector<pollfd> fds{{signals_.fd(), POLLIN, 0}};
  for (const Child& child : children_) {
    for (const ChildStream* stream : {&child.out, &child.err}) {
      if (stream->from) fds.push_back({stream->from.fd(), POLLIN, 0});
    }
  }
  ::poll(fds.data(), fds.size(), static_cast<int>(kLook.count()));
}

void Attempt::forward_signals() {
  for (const int number : signals_.take()) {
    for (const Child& child : children_) {
      if (!child.status) ::kill(child.pid, number);
    }
  }
}

void Attempt::reap() {
  for (Child& child : children_) {
    int status = 0;
    if (child.status || ::waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
    child.status = status;
    forwarder_.finish(child);
    ended(child);
  }
}

// The first that fails is the cause, unless one of them has named another.
void Attempt::ended(Child& child) {
  const int status = *child.status;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (failure_ || code == static_cast<int>(Exit::Ok) || code == static_cast<int>(Exit::Interrupted)) return;
  Failure seen{child.rank, format("pid {}", child.pid), how_it_ended(status), Exit::Peer};
  if (code > 0) seen.code = static_cast<Exit>(code);
  if (code < 0 && signals_.stopped() == WTERMSIG(status))
    seen.code = static_cast<Exit>(128 + WTERMSIG(status));
  if (!child.last_error.empty()) seen.what += ": " + child.last_error;
  if (!store_.set_if_absent(kFailureKey, to_text(seen)))
    seen = failure_from(store_.get(kFailureKey).value_or(to_text(seen)));
  failure_ = seen;
  failed_at_ = Clock::now();
  kill_at_ = failed_at_ + options_.grace;
  log_.join();
  log::error("supervisor", "{}{}", describe(seen), children_.size() > 1 ? " All processes end." : "");
}

void Attempt::tell_first_step() {
  const std::int64_t step = newest_step();
  if (step < 0) return;
  first_step_told_ = true;
  log_.join();
  log::info("supervisor", "restart {} of {}: step {} is done, {} s after the failure. It was: {}",
            restart_.number, options_.restarts, step, seconds_since(restart_.failed_at), restart_.cause);
}

std::int64_t Attempt::newest_step() {
  std::int64_t step = failure_ ? failure_->step : -1;
  for (const auto& [rank, report] : reports_from(store_.list(kBeats))) step = std::max(step, report.step);
  return step;
}

bool Attempt::running() const {
  return std::any_of(children_.begin(), children_.end(), [](const Child& c) { return !c.status; });
}

void Attempt::kill_rest() {
  for (const Child& child : children_) {
    if (!child.status) ::kill(-child.pid, SIGKILL);
  }
}

}  // namespace rt::dist
