#include "rt/data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rt/core/error.h"

namespace rt::data {
namespace {

// Integer parts of the smallest period in which the weights are whole, else of kPeriod; 0 where the weight
// is.
std::vector<std::uint32_t> parts_of(const std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  constexpr double kWhole = 1e-9;  // of a share: what decimal fractions in a config are rounded by
  std::vector<std::uint32_t> parts(weights.size());
  for (std::uint32_t period = 1; period <= Mixture::kPeriod; ++period) {
    bool whole = true;
    for (std::size_t j = 0; j < weights.size() && whole; ++j) {
      const double exact = weights[j] / sum * period, rounded = std::round(exact);
      whole = std::abs(exact - rounded) <= kWhole * period && (rounded > 0 || weights[j] == 0);
      parts[j] = static_cast<std::uint32_t>(rounded);
    }
    if (whole) return parts;
  }
  // Largest remainders; what is too small for one part gets one, at the cost of the largest.
  std::vector<std::size_t> by_remainder(weights.size());
  std::iota(by_remainder.begin(), by_remainder.end(), 0);
  std::vector<double> exact(weights.size());
  std::int64_t left = Mixture::kPeriod;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    exact[j] = weights[j] / sum * Mixture::kPeriod;
    parts[j] = std::max<std::uint32_t>(static_cast<std::uint32_t>(exact[j]), weights[j] > 0 ? 1 : 0);
    left -= parts[j];
  }
  std::stable_sort(by_remainder.begin(), by_remainder.end(), [&](std::size_t a, std::size_t b) {
    return exact[a] - std::floor(exact[a]) > exact[b] - std::floor(exact[b]);
  });
  for (std::size_t i = 0; left > 0; i = (i + 1) % weights.size()) {
    if (weights[by_remainder[i]] == 0) continue;
    ++parts[by_remainder[i]];
    --left;
  }
  for (; left < 0; ++left) --*std::max_element(parts.begin(), parts.end());
  return parts;
}

// The source of each slot of a period. Part m (from 0) of a source with p of P parts may not come before slot
// floor(m P / p) and not after slot ceil((m + 1) P / p) - 1.
std::vector<std::uint32_t> schedule(const std::vector<std::uint32_t>& parts) {
  struct Next {
    std::uint64_t release = 0, deadline = 0, given = 0;
  };
  const std::uint64_t period = std::accumulate(parts.begin(), parts.end(), std::uint64_t{0});
  std::vector<Next> next(parts.size());
  const auto plan = [&](std::size_t j) {
    next[j].release = next[j].given * period / parts[j];
    next[j].deadline = ((next[j].given + 1) * period + parts[j] - 1) / parts[j];
  };
  for (std::size_t j = 0; j < parts.size(); ++j) {
    if (parts[j] > 0) plan(j);
  }
  std::vector<std::uint32_t> source(period);
  for (std::uint64_t slot = 0; slot < period; ++slot) {
    std::size_t best = parts.size();
    for (std::size_t j = 0; j < parts.size(); ++j) {
      if (next[j].given == parts[j] || next[j].release > slot) continue;
      if (best == parts.size() || next[j].deadline < next[best].deadline) best = j;
    }
    source[slot] = static_cast<std::uint32_t>(best);
    ++next[best].given;
    if (next[best].given < parts[best]) plan(best);
  }
  return source;
}

}  // namespace

Mixture::Mixture(std::span<const Share> shares) : sources_(shares.size()) {
  RT_CHECK(!shares.empty() && shares.size() <= kPeriod, "mixture of {} sources", shares.size());
  std::vector<std::uint64_t> before(shares.size(), 0);
  for (;;) {
    std::vector<double> weights(shares.size(), 0.0);
    bool any = false;
    for (std::size_t j = 0; j < shares.size(); ++j) {
      RT_CHECK(shares[j].weight > 0, "mixture: weight {} of source {}", shares[j].weight, j);
      if (before[j] < shares[j].limit) weights[j] = shares[j].weight, any = true;
    }
    if (!any) return;
    Phase phase{.begin = size_, .before = before, .parts = parts_of(weights), .source = {}, .rank = {}};
    phase.source = schedule(phase.parts);
    std::vector<std::uint32_t> seen(shares.size(), 0);
    for (const std::uint32_t j : phase.source) phase.rank.push_back(seen[j]++);
    phases_.push_back(std::move(phase));
    size_ = end_of(phases_.back(), shares);
    if (size_ == kNoLimit) return;
    before = used(size_);
  }
}

// The first sample that would be one more than its source may give.
std::uint64_t Mixture::end_of(const Phase& phase, std::span<const Share> shares) const {
  std::uint64_t end = kNoLimit;
  for (std::size_t j = 0; j < shares.size(); ++j) {
    if (phase.parts[j] == 0 || shares[j].limit == kNoLimit) continue;
    const std::uint64_t left = shares[j].limit - phase.before[j], whole = left / phase.parts[j];
    if (whole >= (kNoLimit - phase.begin) / phase.source.size() - 1) continue;  // further than can be counted
    std::uint64_t slot = 0;
    while (phase.source[slot] != j || phase.rank[slot] != left % phase.parts[j]) ++slot;
    end = std::min(end, phase.begin + whole * phase.source.size() + slot);
  }
  return end;
}

const Mixture::Phase& Mixture::phase_of(std::uint64_t sample) const {
  const auto after =
      std::upper_bound(phases_.begin() + 1, phases_.end(), sample,
                       [](std::uint64_t value, const Phase& phase) { return value < phase.begin; });
  return *(after - 1);
}

Mixture::Pick Mixture::at(std::uint64_t sample) const {
  RT_CHECK(sample < size_, "mixture: sample {} of {}", sample, size_);
  const Phase& p = phase_of(sample);
  const std::uint64_t i = sample - p.begin, slot = i % p.source.size(), source = p.source[slot];
  return {source, p.before[source] + i / p.source.size() * p.parts[source] + p.rank[slot]};
}

std::vector<std::uint64_t> Mixture::used(std::uint64_t samples) const {
  if (samples == 0) return std::vector<std::uint64_t>(sources_, 0);
  const Phase& p = phase_of(samples - 1);
  const std::uint64_t i = samples - p.begin, whole = i / p.source.size();
  std::vector<std::uint64_t> counts = p.before;
  for (std::size_t j = 0; j < counts.size(); ++j) counts[j] += whole * p.parts[j];
  for (std::size_t slot = 0; slot < i % p.source.size(); ++slot) ++counts[p.source[slot]];
  return counts;
}

}  // namespace rt::data
