#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "rt/dist/watch.h"

namespace rt::dist {

using Clock = std::chrono::steady_clock;

// A short text that is kept without allocating; what is beyond its 23 bytes is cut.
class Word {
 public:
  Word() = default;
  explicit Word(std::string_view text);
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, 23> bytes_{};
  std::uint8_t size_ = 0;
};

struct Collective {
  std::uint64_t number = 0, bytes = 0;
  Word op, phase;
  Clock::time_point begin, end;
  bool done = false;
};

enum class Stage : std::uint8_t { Init, FirstStep, Steps };

struct Doing {
  std::uint64_t changes = 0;  // calls so far: another number is progress
  Clock::time_point changed;  // by the last one
  Stage stage = Stage::Init;
  Word phase;
  Clock::time_point since;  // of the phase
  Milliseconds allowed{};
  std::uint64_t begun = 0;          // collectives
  std::optional<Collective> waits;  // the oldest that is not done
  std::int64_t step = -1;           // none is done
  Milliseconds median{};            // of the last steps; 0: none is done
};

// How long one that does this may make no progress; and how long it may while others give no sign of life,
// for whom no phase is worth waiting.
Milliseconds limit(const Doing& doing, const WatchTimeouts& timeouts);
Milliseconds limit_for_silence(const Doing& doing, const WatchTimeouts& timeouts);

// What this process does, said by those that do it: Watch's calls.
class Activity {
 public:
  void enter(std::string_view phase, Milliseconds allowed);
  std::uint64_t begin(std::string_view op, std::uint64_t bytes);
  void end(std::uint64_t number);
  void ready();
  void step_done(std::int64_t step);

  Doing look() const;
  std::vector<Collective> collectives() const;  // the last kKept, in order
  static constexpr std::size_t kKept = 256;

 private:
  static constexpr std::size_t kSteps = 31;
  Collective& at(std::uint64_t number) { return ring_[number % kKept]; }
  const Collective& at(std::uint64_t number) const { return ring_[number % kKept]; }
  void change(Clock::time_point now);  // this and the next: locked
  void skip_done();

  mutable std::mutex mutex_;  // held for less than a microsecond
  Doing doing_;
  std::uint64_t oldest_ = 1;  // collectives before it are done, or no longer kept
  std::array<Collective, kKept> ring_;
  std::array<Milliseconds, kSteps> step_times_{};
  std::size_t steps_ = 0;
  Clock::time_point step_began_;
};

}  // namespace rt::dist
