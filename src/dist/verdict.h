#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dist/watch_words.h"

namespace rt::dist {

// What one that makes no progress sees of all ranks.
struct Scene {
  int me = 0, world = 1;
  Reports before, now;  // two looks, more than a heartbeat apart; `me` is in both
  std::set<int> left;
  std::int64_t median_ms = 0;  // of a step; 0: none is done
};

// The line that names who is late, or nothing: there is one to wait for, a rank that is alive and within its
// own timeout. (For ten of our timeouts at most.)
//
// Late are, the first kind that there is: ranks that gave no sign of life between the two looks; ranks that
// began fewer collectives than others, or are in none while others wait in one.
std::optional<std::string> find_late(const Scene& scene);

// Those of the first kind.
std::vector<int> silent_ranks(const Scene& scene);

}  // namespace rt::dist
