#include "rt/infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rt/core/error.h"

namespace rt {

Sampler::Sampler(const SamplerOptions& options)
    : options_(options), rng_(Rng{options.seed, 0}.child("sampler")) {
  if (!(options.temperature >= 0)) {
    fail(Exit::Config, "temperature: {} is not a temperature. Use 0 or more.", options.temperature);
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    fail(Exit::Config, "top-p: {} is not in (0, 1].", options.top_p);
  }
  if (options.top_k < 0)
    fail(Exit::Config, "top-k: {} is negative. Use 0 to keep all tokens.", options.top_k);
}

std::int32_t Sampler::sample(std::span<const float> logits, std::uint64_t position) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (!std::isfinite(*best)) fail(Exit::NonFinite, "sampling: the model's logits are not finite.");
  if (options_.temperature == 0) return static_cast<std::int32_t>(best - logits.begin());
  order_.resize(logits.size());
  std::iota(order_.begin(), order_.end(), 0);
  const auto before = [&](std::int32_t a, std::int32_t b) {
    const auto x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::size_t kept = order_.size();
  if (options_.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options_.top_k));
  const bool sorted = kept < order_.size() || options_.top_p < 1;
  if (sorted)
    std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(kept), order_.end(),
                      before);
  weights_.resize(kept);
  double total = 0;
  const auto top = static_cast<double>(*best);
  const auto logit = [&](std::size_t i) {
    return static_cast<double>(logits[static_cast<std::size_t>(order_[i])]);
  };
  for (std::size_t i = 0; i < kept; ++i) total += std::exp(logit(i) - top);
  if (options_.top_p < 1) {
    double reached = 0;
    std::size_t n = 0;
    while (n < kept && reached < options_.top_p * total) reached += std::exp(logit(n++) - top);
    kept = std::max<std::size_t>(1, n);
  }
  total = 0;
  for (std::size_t i = 0; i < kept; ++i)
    total += weights_[i] = std::exp((logit(i) - top) / options_.temperature);
  double left = rng_.uniform(position) * total;
  for (std::size_t i = 0; i < kept; ++i) {
    left -= weights_[i];
    if (left < 0) return order_[i];
  }
  return order_[kept - 1];
}

}  // namespace rt
