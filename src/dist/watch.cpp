#include "rt/dist/watch.h"

#include <algorithm>

#include "dist/watcher.h"

namespace rt::dist {
namespace {

// For a cause that is better than that of a rank that lost its peer: its watch, a will, or a supervisor
// tells.
constexpr Milliseconds kOthersFirst(2000), kReach(2000);
constexpr Milliseconds kLook(50), kToldWithin(1500), kSilent(10'000);

}  // namespace

struct Watch::State {
  WatchOptions options;
  Activity activity;
  std::unique_ptr<Watcher> watcher;  // null: alone
  mutable std::mutex mutex;
  std::string stop;  // alone

  std::optional<std::string> publish(std::string_view what, Exit code) {
    try {
      Store store(options.host, options.port, kReach, kReach);
      const std::string told = key_of(kTold, options.rank);
      std::optional<std::string> known;
      if (code == Exit::Peer) known = store.get(kFailureKey, kOthersFirst);
      const Failure mine{options.rank, options.place, std::string(what), code, activity.look().step};
      if (!known && !store.set_if_absent(kFailureKey, to_text(mine))) known = store.get(kFailureKey);
      store.set(told, "");
      if (!known) return std::nullopt;
      const Failure first = failure_from(*known);
      return first.rank == options.rank ? std::nullopt : std::optional(describe(first));
    } catch (const Error&) {
      if (code != Exit::Peer) return std::nullopt;
      return store_lost_words(options);
    }
  }
};

Watch::Watch(const WatchOptions& options) : state_(std::make_unique<State>()) {
  state_->options = options;
  if (!options.host.empty()) state_->watcher = std::make_unique<Watcher>(options, state_->activity);
}

Watch::~Watch() { leave(); }

void Watch::enter(std::string_view phase, Milliseconds allowed) { state_->activity.enter(phase, allowed); }

std::uint64_t Watch::begin_collective(std::string_view op, std::uint64_t bytes) {
  return state_->activity.begin(op, bytes);
}

void Watch::end_collective(std::uint64_t number) { state_->activity.end(number); }

void Watch::ready() { state_->activity.ready(); }

void Watch::step_done(std::int64_t step) { state_->activity.step_done(step); }

void Watch::request_stop(std::string_view reason) {
  const std::string text = format("rank {} ({}): {}", state_->options.rank, state_->options.place, reason);
  if (state_->watcher) return state_->watcher->request_stop(text);
  const std::lock_guard lock(state_->mutex);
  if (state_->stop.empty()) state_->stop = text;
}

std::optional<std::string> Watch::stop_requested() const {
  if (state_->watcher) return state_->watcher->stop_requested();
  const std::lock_guard lock(state_->mutex);
  return state_->stop.empty() ? std::nullopt : std::optional(state_->stop);
}

std::optional<std::string> Watch::publish_failure(std::string_view what, Exit code) {
  if (!state_->watcher) return std::nullopt;
  state_->watcher->expect_end(code);
  return state_->publish(what, code);
}

bool Watch::ending() const { return state_->watcher && state_->watcher->ending(); }

void Watch::leave() {
  if (state_->watcher) state_->watcher->leave();
}

void Watch::wait_for_others() {
  if (!state_->watcher) return;
  try {
    Store store(state_->options.host, state_->options.port, kReach, kReach);
    dist::wait_for_others(store, state_->options.rank, state_->options.world);
  } catch (const Error&) {}  // there is no store that they could need
}

void wait_for_others(Store& store, int rank, int world, std::span<const int> silent) {
  Clock::time_point silent_since = Clock::now(), failed_since = Clock::time_point::max();
  std::map<std::string, std::string> signs;
  for (;;) {
    const auto left = store.list(kLeft), told = store.list(kTold);
    const auto now = Clock::now();
    int failed = rank;  // it knows, or is no more
    if (const auto failure = store.get(kFailureKey)) {
      failed = failure_from(*failure).rank;
      failed_since = std::min(failed_since, now);
    }
    bool all = true;
    for (int r = 0; r < world; ++r) {
      const bool knows = left.contains(key_of(kLeft, r)) || told.contains(key_of(kTold, r)) ||
                         std::find(silent.begin(), silent.end(), r) != silent.end();
      all = all && (knows || r == rank || r == failed);
    }
    if (all) return;
    auto latest = store.list(kBeats);
    if (latest != signs) silent_since = now;
    signs = std::move(latest);
    if (now - silent_since > kSilent) return;
    if (failed_since != Clock::time_point::max() && now - failed_since > kToldWithin) return;
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace rt::dist
