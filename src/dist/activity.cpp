#include "dist/activity.h"

#include <algorithm>
#include <cstring>

namespace rt::dist {

Word::Word(std::string_view text) : size_(static_cast<std::uint8_t>(std::min(text.size(), bytes_.size()))) {
  std::memcpy(bytes_.data(), text.data(), size_);
}

Milliseconds limit_for_silence(const Doing& doing, const WatchTimeouts& timeouts) {
  Milliseconds usual = timeouts.init;
  if (doing.stage == Stage::FirstStep) usual = timeouts.first_step;
  if (doing.stage == Stage::Steps)
    usual = timeouts.step.value_or(std::max(Milliseconds(60'000), 10 * doing.median));
  return usual;
}

Milliseconds limit(const Doing& doing, const WatchTimeouts& timeouts) {
  return std::max(limit_for_silence(doing, timeouts), doing.allowed);
}

void Activity::change(Clock::time_point now) {
  ++doing_.changes;
  doing_.changed = now;
}

void Activity::enter(std::string_view phase, Milliseconds allowed) {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  change(now);
  doing_.phase = Word(phase);
  doing_.since = now;
  doing_.allowed = allowed;
}

std::uint64_t Activity::begin(std::string_view op, std::uint64_t bytes) {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  change(now);
  const std::uint64_t number = ++doing_.begun;
  at(number) = {number, bytes, Word(op), doing_.phase, now, {}, false};
  if (number >= oldest_ + kKept) oldest_ = number - kKept + 1;
  skip_done();
  return number;
}

void Activity::end(std::uint64_t number) {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  change(now);
  if (at(number).number != number) return;  // overwritten since
  at(number).end = now;
  at(number).done = true;
  skip_done();
}

void Activity::skip_done() {
  while (oldest_ <= doing_.begun && at(oldest_).done) ++oldest_;
}

void Activity::ready() {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  change(now);
  doing_.stage = Stage::FirstStep;
  step_began_ = now;
}

void Activity::step_done(std::int64_t step) {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  change(now);
  doing_.step = step;
  // The first is no measure: it plans, allocates and records.
  if (doing_.stage == Stage::Steps)
    step_times_[steps_++ % kSteps] = std::chrono::duration_cast<Milliseconds>(now - step_began_);
  doing_.stage = Stage::Steps;
  step_began_ = now;
}

Doing Activity::look() const {
  const std::lock_guard lock(mutex_);
  Doing doing = doing_;
  if (oldest_ <= doing.begun) doing.waits = at(oldest_);
  auto times = step_times_;
  const auto end = times.begin() + static_cast<std::ptrdiff_t>(std::min(steps_, kSteps));
  if (end != times.begin()) {
    const auto middle = times.begin() + (end - times.begin()) / 2;
    std::nth_element(times.begin(), middle, end);
    doing.median = *middle;
  }
  return doing;
}

std::vector<Collective> Activity::collectives() const {
  const std::lock_guard lock(mutex_);
  std::vector<Collective> kept;
  const std::uint64_t first = doing_.begun > kKept ? doing_.begun - kKept + 1 : 1;
  for (std::uint64_t n = first; n <= doing_.begun; ++n) kept.push_back(at(n));
  return kept;
}

}  // namespace rt::dist
