#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "rt/core/error.h"

// What those who watch tell each other through the store.
namespace rt::dist {

// A sign of life.
struct Report {
  std::string place, op, phase;
  std::uint64_t beats = 0;     // grows with every report
  std::uint64_t begun = 0;     // collectives
  std::uint64_t waits_in = 0;  // the number of one, 0: it waits in none
  std::int64_t phase_ms = 0, idle_ms = 0, limit_ms = 0;
  std::int64_t step = -1;
};
std::string to_text(const Report& report);
Report report_from(std::string_view text);  // Exit::Peer when it is none

// Why the run ends. The first one counts.
struct Failure {
  int rank = 0;
  std::string place, what;
  Exit code = Exit::Peer;
  std::int64_t step = -1;  // the last that this rank had done
  bool hang = false;       // all write a trace, to hang-STEP
};
std::string to_text(const Failure& failure);
Failure failure_from(std::string_view text);   // Exit::Peer when it is none
std::string describe(const Failure& failure);  // "rank 3 (node7): what.", of a hang "what."
std::string sentence(std::string_view text);   // ends it with a full stop

inline constexpr const char* kFailureKey = "run/failure";
inline constexpr const char* kStopKey = "run/stop";
inline constexpr const char* kBeats = "beat/";
inline constexpr const char* kLeft = "left/";  // ranks whose end is no failure
inline constexpr const char* kTold = "told/";  // ranks that know the failure and end
inline std::string key_of(const char* prefix, int rank) { return prefix + std::to_string(rank); }

using Reports = std::map<int, Report>;  // by rank
Reports reports_from(const std::map<std::string, std::string>& listed);

}  // namespace rt::dist
