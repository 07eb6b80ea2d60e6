#include "rt/ops/key_prepare.h"

#include <cmath>

#include "ops/ref/accumulate.h"

namespace rt::ref {
namespace {

double key_norm(const double* k, const double* k_k, std::int64_t N) {
  double square = 0;
  for (std::int64_t n = 0; n < N; ++n) square += k[n] * k_k[n] * k[n] * k_k[n];
  return std::sqrt(square);
}

}  // namespace

void key_prepare_forward(ExecContext& ctx, const KeyPrepareArgs& a, const KeyPrepareOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.k.shape.back(), N = a.head_size;
  const double *k = a.k.as<double>(), *rate = a.rate.as<double>();
  for (std::int64_t first = 0; first < a.k.numel(); first += N) {
    const double *k_k = a.k_k.as<double>() + first % C, *k_a = a.k_a.as<double>() + first % C;
    const double norm = std::max(key_norm(k + first, k_k, N), kMinKeyNorm);
    for (std::int64_t n = 0; n < N; ++n) {
      const std::int64_t i = first + n;
      const double kappa = k[i] * k_k[n] / norm;
      o.k.as<double>()[i] = k[i] * (1 + (rate[i] - 1) * k_a[n]);
      o.a.as<double>()[i] = -kappa;
      o.b.as<double>()[i] = kappa * rate[i];
    }
  }
}

void key_prepare_backward(ExecContext& ctx, const KeyPrepareArgs& a, const KeyPrepareOuts&,
                          const KeyPrepareOutGrads& dout, const KeyPrepareGrads& g) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.k.shape.back(), N = a.head_size;
  const double *k = a.k.as<double>(), *rate = a.rate.as<double>();
  const GradRef dk(g.k), drate(g.rate), dk_k(g.k_k), dk_a(g.k_a);
  const auto at = [](const TensorView& v, std::int64_t i) { return v ? v.as<double>()[i] : 0.0; };
  for (std::int64_t first = 0; first < a.k.numel(); first += N) {
    const double *k_k = a.k_k.as<double>() + first % C, *k_a = a.k_a.as<double>() + first % C;
    const double norm = key_norm(k + first, k_k, N);
    const bool tiny = norm < kMinKeyNorm;  // the divisor is then a constant
    const double divisor = tiny ? kMinKeyNorm : norm;
    const auto dkappa = [&](std::int64_t i) { return rate[i] * at(dout.b, i) - at(dout.a, i); };
    double dot = 0;  // kappa . dkappa
    for (std::int64_t n = 0; n < N && !tiny; ++n) dot += k[first + n] * k_k[n] / divisor * dkappa(first + n);
    for (std::int64_t n = 0; n < N; ++n) {
      const std::int64_t i = first + n, c = i % C;
      const double kappa = k[i] * k_k[n] / divisor;
      const double du = (dkappa(i) - kappa * dot) / divisor, dk_out = at(dout.k, i);
      dk.add(i, dk_out * (1 + (rate[i] - 1) * k_a[n]) + du * k_k[n]);
      drate.add(i, kappa * at(dout.b, i) + dk_out * k[i] * k_a[n]);
      dk_k.add(c, du * k[i]);
      dk_a.add(c, dk_out * k[i] * (rate[i] - 1));
    }
  }
}

}  // namespace rt::ref
