#include "rt/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rt {
namespace {

double fraction(std::int64_t part, std::int64_t whole) {
  if (whole <= 0) return part < 0 ? 0.0 : 1.0;
  return std::clamp(static_cast<double>(part) / static_cast<double>(whole), 0.0, 1.0);
}

double cosine(double p, double f) { return (0.5 + f / 2) + (0.5 - f / 2) * std::cos(std::numbers::pi * p); }

double shaped(const Schedule& s, std::int64_t step) {
  const double f = s.final_fraction;
  switch (s.shape) {
    case ScheduleShape::Constant: return 1.0;
    case ScheduleShape::Cosine: return cosine(fraction(step - s.warmup, s.total - s.warmup), f);
    case ScheduleShape::Linear: return 1.0 - (1.0 - f) * fraction(step - s.warmup, s.total - s.warmup);
    case ScheduleShape::Wsd: break;
  }
  if (step < s.total - s.decay) return 1.0;
  const double p = fraction(step - (s.total - s.decay), s.decay);
  switch (s.decay_shape) {
    case DecayShape::Linear: return 1.0 - (1.0 - f) * p;
    case DecayShape::OneMinusSqrt: return 1.0 - (1.0 - f) * std::sqrt(p);
    case DecayShape::Cosine: return cosine(p, f);
  }
  return 1.0;
}

}  // namespace

double Schedule::at(std::int64_t step) const {
  double value = lr * shaped(*this, step);
  if (step < warmup) value *= 0.01 + 0.99 * static_cast<double>(step) / static_cast<double>(warmup);
  return value;
}

}  // namespace rt
