#include "dist/watcher.h"

#include <unistd.h>

#include <algorithm>

#include "rt/core/log.h"
#include "rt/core/thread_signals.h"

namespace rt::dist {
namespace {

constexpr Milliseconds kReconnect(1000), kOwnEnd(10'000), kLastWords(8'000);
// Without a store and without progress for so long: who serves it is gone, and not just restarting a network.
constexpr Milliseconds kWithoutStore(2000);

// Logging and tracing may wait for a terminal, a disk or a lock: not for ever.
void end_anyway(Exit code) {
  try {
    std::thread([code] {
      std::this_thread::sleep_for(kLastWords);
      ::_exit(static_cast<int>(code));
    }).detach();
  } catch (const std::system_error&) {}  // no thread to be had
}

std::string words_of(const WatchOptions& o, const Failure& f) {
  if (f.rank == o.rank) return sentence(f.what);
  return describe(f) + " This process ends too.";
}

}  // namespace

std::string store_lost_words(const WatchOptions& o) {
  return format("{}, which serves the store at {}:{}, is gone or does not answer.",
                o.supervised ? "the supervisor" : "rank 0", o.host, o.port);
}

Watcher::Watcher(const WatchOptions& options, const Activity& activity)
    : options_(options), activity_(activity) {
  connect(options_.timeouts.init);
  last_look_ = Clock::now();
  count_time();
  give_sign();  // whoever stops right after this has been heard of
  thread_ = std::thread([this] { run(); });
}

Watcher::~Watcher() { leave(); }

void Watcher::connect(Milliseconds timeout) {
  auto fresh = std::make_unique<Store>(options_.host, options_.port, timeout, answer_time());
  const Failure lost{options_.rank, options_.place,
                     "its process ended without a word: killed, or out of memory", Exit::Peer};
  // A supervisor sees how it ends, and says more.
  if (!options_.supervised) fresh->set_will(kFailureKey, to_text(lost));
  store_ = std::move(fresh);  // the last connection ends after this one has its will
  lost_ = false;
}

void Watcher::run() {
  leave_signals_to_others();
  while (!leaving_) {
    if (own_code_ >= 0) {
      wait_for_own_end();
      continue;
    }
    try {
      if (lost_) connect(kReconnect);
      look();
    } catch (const Error&) { store_lost(); }
  }
}

void Watcher::look() {
  const auto asked = Clock::now();
  std::optional<std::string> failure;
  try {
    failure = store_->get(kFailureKey, kTick);
  } catch (const Error&) {
    lost_by_close_ = Clock::now() - asked < answer_time();
    throw;
  }
  lost_by_close_ = false;
  count_time();
  if (failure) {
    // The other threads may have said so just now.
    if (own_code_ < 0 && !leaving_) end(failure_from(*failure));
    return;
  }
  heed_stop();
  give_sign();
  judge();
}

void Watcher::count_time() {
  const auto now = Clock::now();
  // No look takes longer, but for a process that is stopped.
  const Milliseconds longest = kTick + answer_time() + kReconnect;
  const Milliseconds passed = std::min(longest, std::chrono::duration_cast<Milliseconds>(now - last_look_));
  awake_ += passed;
  last_look_ = now;
  if (passed > kTick + answer_time())
    asked_.reset();  // stopped: all may have been, and what they said is old
  doing_ = activity_.look();
  if (doing_.changes != seen_changes_) {
    // Not now: where the store has gone, this look took all the time of an answer.
    const auto since = std::chrono::duration_cast<Milliseconds>(now - doing_.changed);
    progress_at_ = awake_ - std::clamp(since, Milliseconds(0), passed);
    warned_ = false;
  }
  seen_changes_ = doing_.changes;
}

void Watcher::heed_stop() {
  std::string wanted, known;
  {
    const std::lock_guard lock(stop_mutex_);
    wanted = wanted_stop_;
    known = known_stop_;
  }
  if (!wanted.empty() && !stop_told_) {
    store_->set_if_absent(kStopKey, wanted);
    stop_told_ = true;
  }
  if (!known.empty()) return;
  known = store_->get(kStopKey).value_or("");
  const std::lock_guard lock(stop_mutex_);
  if (known_stop_.empty()) known_stop_ = known;
}

void Watcher::give_sign() {
  // A supervisor asks what was gained, and a step may be gained shortly before a failure: one rank tells
  // each.
  const bool gained = doing_.step != told_step_ && (options_.rank == 0 || told_step_ < 0);
  if (beats_ > 0 && awake_ - sign_at_ < options_.heartbeat && !gained) return;
  ++beats_;
  store_->set(key_of(kBeats, options_.rank), to_text(report()));
  sign_at_ = awake_;
  told_step_ = doing_.step;
}

Report Watcher::report() const {
  Report r;
  r.place = options_.place;
  r.phase = doing_.phase.view();
  r.beats = beats_;
  r.begun = doing_.begun;
  if (doing_.waits) {
    r.op = doing_.waits->op.view();
    r.waits_in = doing_.waits->number;
  }
  r.phase_ms = std::chrono::duration_cast<Milliseconds>(Clock::now() - doing_.since).count();
  r.idle_ms = idle().count();
  r.limit_ms = limit(doing_, options_.timeouts).count();
  r.step = doing_.step;
  return r;
}

void Watcher::judge() {
  // Time for a sign of life of everyone who lives: half of it before the limit, so that who gives none is
  // named soon after.
  const Milliseconds silence = limit_for_silence(doing_, options_.timeouts);
  const Milliseconds time = options_.heartbeat * 3 / 2 + Milliseconds(1000);
  if (idle() <= silence - std::min(time, silence) / 2) {
    asked_.reset();
    return;
  }
  if (!asked_) {
    asked_ = reports_from(store_->list(kBeats));
    asked_at_ = awake_;
    return;
  }
  if (awake_ - asked_at_ < time || idle() <= silence) return;
  Scene scene{options_.rank,        options_.world, *asked_, reports_from(store_->list(kBeats)), {},
              doing_.median.count()};
  scene.now[options_.rank] = report();
  for (const auto& [key, value] : store_->list(kLeft))
    scene.left.insert(std::stoi(key.substr(std::string_view(kLeft).size())));
  silent_ = silent_ranks(scene);
  const bool late = idle() > limit(doing_, options_.timeouts);
  if (const auto line = late || !silent_.empty() ? find_late(scene) : std::nullopt) {
    asked_ = scene.now;
    hang(*line);
  }
  if (late && !warned_) {
    log::warn("dist", "no progress for {} s, in {}: other ranks are at work within their timeouts",
              idle().count() / 1000, doing_.phase.view());
  }
  warned_ = warned_ || late;
  asked_ = scene.now;
  asked_at_ = awake_;
}

void Watcher::hang(const std::string& line) {
  Failure mine{options_.rank, options_.place, line, Exit::Peer, doing_.step, true};
  if (!options_.dir.empty()) mine.what += format(" Trace: {}/", trace_dir(options_, mine.step).string());
  try {
    if (!lost_ && !store_->set_if_absent(kFailureKey, to_text(mine)))
      mine = failure_from(store_->get(kFailureKey).value_or(to_text(mine)));
  } catch (const Error&) { lost_ = true; }
  end(mine);
}

void Watcher::end(const Failure& failure) {
  end_anyway(Exit::Peer);
  log::error("dist", "{} Exit {}.", words_of(options_, failure), static_cast<int>(Exit::Peer));
  if (failure.hang && !options_.dir.empty())
    write_trace(options_, failure.step, activity_, report(), asked_.value_or(Reports()));
  try {
    if (!lost_) store_->set(key_of(kTold, options_.rank), "");
    if (!lost_ && serves()) wait_for_others(*store_, options_.rank, options_.world, silent_);
  } catch (const Error&) {}  // nobody to tell
  ::_exit(static_cast<int>(Exit::Peer));
}

// The store is served by a process of the run, or by the one that started it: either is needed.
void Watcher::store_lost() {
  const bool again = lost_;  // it could not be reached anew
  lost_ = true;
  count_time();
  const bool late =
      idle() > limit_for_silence(doing_, options_.timeouts) || (lost_by_close_ && idle() > kWithoutStore);
  // An answer that did not come in time is no news from one that was stopped itself.
  if (!again || !late) return;
  hang(format("no progress for {} s. {}", idle().count() / 1000, store_lost_words(options_)));
}

void Watcher::wait_for_own_end() {
  std::this_thread::sleep_for(kTick);
  count_time();
  own_end_at_ = own_end_at_ == Milliseconds(0) ? awake_ + kOwnEnd : own_end_at_;
  if (awake_ < own_end_at_) return;
  end_anyway(static_cast<Exit>(own_code_.load()));
  log::error("dist", "the process does not end by itself after its failure: ended. Exit {}.",
             own_code_.load());
  ::_exit(own_code_);
}

void Watcher::request_stop(const std::string& reason) {
  const std::lock_guard lock(stop_mutex_);
  if (wanted_stop_.empty()) wanted_stop_ = reason;
  if (known_stop_.empty()) known_stop_ = reason;
}

std::optional<std::string> Watcher::stop_requested() const {
  const std::lock_guard lock(stop_mutex_);
  return known_stop_.empty() ? std::nullopt : std::optional(known_stop_);
}

void Watcher::expect_end(Exit code) { own_code_ = static_cast<int>(code); }

void Watcher::leave() {
  if (leaving_.exchange(true)) return;
  thread_.join();
  try {
    if (lost_) connect(kReconnect);
    if (own_code_ < 0) store_->set(key_of(kLeft, options_.rank), "");
    store_->set_will("", "");
  } catch (const Error&) {}  // whoever served it has ended
}

}  // namespace rt::dist
