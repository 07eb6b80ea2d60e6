#include "rt/nn/init.h"

#include <algorithm>
#include <cmath>

#include "rt/core/parallel.h"
#include "rt/ops/orthogonal.h"

namespace rt::init {

Init constant(double value) {
  return [value](std::span<float> out, const Shape&, const Rng&) {
    std::fill(out.begin(), out.end(), static_cast<float>(value));
  };
}

Init uniform(double bound) {
  return [bound](std::span<float> out, const Shape&, const Rng& rng) {
    parallel_for(static_cast<std::int64_t>(out.size()), 1 << 14, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
        out[i] = static_cast<float>(bound * (2 * rng.uniform(i) - 1));
    });
  };
}

Init orthogonal(double gain) {
  return [gain](std::span<float> out, const Shape& shape, const Rng& rng) {
    rt::orthogonal(out, shape[0], shape[1], gain, rng);
  };
}

Init orthogonal_scaled(double gain) {
  return [gain](std::span<float> out, const Shape& shape, const Rng& rng) {
    const double ratio = static_cast<double>(shape[0]) / static_cast<double>(shape[1]);
    rt::orthogonal(out, shape[0], shape[1], gain * std::max(1.0, std::sqrt(ratio)), rng);
  };
}

Init per_channel(std::function<double(std::int64_t)> value) {
  return [value = std::move(value)](std::span<float> out, const Shape&, const Rng&) {
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<float>(value(static_cast<std::int64_t>(i)));
  };
}

}  // namespace rt::init
