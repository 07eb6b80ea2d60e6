#pragma once
#include "config/section.h"
#include "rt/config/dist_section.h"

// The dist section's part of the schema (schema.h).
namespace rt::config {

inline void visit(Section& s, DistTimeouts& v) {
  s.key("init", v.init);
  s.key("first_step", v.first_step);
  s.key("step", v.step, {.absent = "auto"});
}

inline void visit(Section& s, DistSection& v) {
  s.key("world", v.world, {.absent = "auto"});
  s.key("rank", v.rank, {.absent = "auto"});
  s.key("local_rank", v.local_rank, {.absent = "auto"});
  s.key("rendezvous", v.rendezvous, {.absent = "auto"});
  s.key("timeouts", v.timeouts);
  s.key("heartbeat", v.heartbeat);
  s.key("restarts", v.restarts);
  s.key("elastic", v.elastic);
}

}  // namespace rt::config
