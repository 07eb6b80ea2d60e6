#include "train/scale_timeline.h"

#include <algorithm>

namespace rt::scale {
namespace {

// What a unit's pass needs before it and leaves after it.
struct Visit {
  double compute, gather, reduce;  // 0: none
};

std::vector<Visit> visits_of(const std::vector<UnitTime>& units, int zero, std::int64_t micro_steps) {
  std::vector<Visit> all;
  all.reserve(2 * units.size() * static_cast<std::size_t>(micro_steps));
  for (std::int64_t micro = 0; micro < micro_steps; ++micro) {
    const bool gathers = zero == 3 || (zero >= 1 && micro == 0);
    const bool reduces = zero >= 2 || micro == micro_steps - 1;
    for (const UnitTime& u : units) all.push_back({u.forward, gathers ? u.gather : 0, 0});
    for (auto u = units.rbegin(); u != units.rend(); ++u)
      all.push_back({u->backward, zero == 3 ? u->gather : 0, reduces ? u->reduce : 0});
  }
  return all;
}

}  // namespace

double timeline_seconds(const std::vector<UnitTime>& units, int zero, std::int64_t micro_steps) {
  const std::vector<Visit> visits = visits_of(units, zero, micro_steps);
  const std::size_t n = visits.size();
  double compute = 0, wire = 0;               // when each queue is free
  std::vector<double> ready(n), computed(n);  // when weights are there, when a pass is done
  double sent = 0, sent_before = 0;           // when the last two reductions were
  const auto gather = [&](std::size_t k) {
    if (visits[k].gather == 0) return;
    // Stage 3 has two slots: the unit two before must be done with its own.
    const double slot = zero == 3 && k >= 2 ? computed[k - 2] : 0;
    ready[k] = wire = std::max(wire, slot) + visits[k].gather;
  };
  // Where weights have their own place, all gathers of a step are queued at its start.
  if (zero < 3)
    for (std::size_t k = 0; k < n; ++k) gather(k);
  for (std::size_t k = 0; k < n; ++k) {
    if (zero == 3 && k == 0) gather(0);
    if (zero == 3 && k + 1 < n) gather(k + 1);  // while this one computes
    // From stage 2 a gradient is written into one of two buffers.
    const double buffer = zero >= 2 && visits[k].reduce > 0 ? sent_before : 0;
    compute = computed[k] = std::max({compute, ready[k], buffer}) + visits[k].compute;
    if (visits[k].reduce > 0) {
      sent_before = sent;
      sent = wire = std::max(wire, compute) + visits[k].reduce;
    }
  }
  return std::max(compute, wire);
}

}  // namespace rt::scale
