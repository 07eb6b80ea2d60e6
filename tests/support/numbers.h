#pragma once
#include <cmath>
#include <vector>

#include "rt/core/host.h"

namespace rt::testing {

inline std::vector<double> numbers(const TensorView& view) {
  std::vector<double> v(static_cast<std::size_t>(view.numel()));
  const HostTensor host(view);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = element(host.view(), static_cast<std::int64_t>(i));
  return v;
}

// ||got - want|| / ||want||, absolute where want is zero; infinite when anything is NaN.
inline double relative_rms(const std::vector<double>& got, const std::vector<double>& want) {
  double diff = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    diff += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  const double rms = std::sqrt(diff) / (norm > 0 ? std::sqrt(norm) : 1.0);
  return std::isnan(rms) ? INFINITY : rms;
}

}  // namespace rt::testing
