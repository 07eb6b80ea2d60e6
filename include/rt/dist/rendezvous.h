#pragma once
#include <map>
#include <span>
#include <string>

#include "rt/dist/launch.h"
#include "rt/dist/store.h"

namespace rt::dist {

// By name, e.g. "configuration": a text that is short, or the hash of a long one.
using Facts = std::map<std::string, std::string>;

struct Member {
  std::string machine;  // its name
  Facts same;           // what all processes must have in common
  Facts different;      // what no two may share, e.g. the GPU
};

// Tells the others who this process is and waits until all of launch.world have done so. Then, in every
// process alike: Exit::Config when they differ in what must be the same, share what must not be, or two claim
// one rank. Exit::Peer at `timeout`, with the ranks that are missing.
void join(Store& store, const Launch& launch, const Member& me, Milliseconds timeout);

std::string ranges(std::span<const int> ranks);  // ascending; "0-3, 5, 8-15"

}  // namespace rt::dist
