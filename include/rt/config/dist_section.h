#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace rt::config {

// How long a process of several may make no progress before all are ended (rt/dist/watch.h).
struct DistTimeouts {
  std::chrono::seconds init = std::chrono::seconds(300);
  std::chrono::seconds first_step = std::chrono::seconds(600);
  std::optional<std::chrono::seconds> step;  // auto: the larger of 60 s and ten median steps
  friend bool operator==(const DistTimeouts&, const DistTimeouts&) = default;
};

// Which of several processes this one is; what is auto comes from the launcher's environment variables
// (rt/dist/launch.h). And what happens when one of them fails.
struct DistSection {
  std::optional<std::int64_t> world, rank, local_rank;
  std::optional<std::string> rendezvous;  // host:port of rank 0
  DistTimeouts timeouts;
  std::chrono::seconds heartbeat = std::chrono::seconds(2);  // between two signs of life
  std::int64_t restarts = 3;  // of all processes, at most, where rwkv-train --nproc started them
  bool elastic = false;       // and go on without one that failed to start twice
  friend bool operator==(const DistSection&, const DistSection&) = default;
};

}  // namespace rt::config
