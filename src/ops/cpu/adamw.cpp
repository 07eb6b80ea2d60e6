#include "rt/ops/adamw.h"

#include <cmath>

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::store_tail;
using simd::vf;

constexpr std::int64_t kGrain = std::int64_t{1} << 14;

struct Coefficients {
  float grad_scale, beta1, gain1, beta2, gain2, unbias1, unbias2, eps, rate, decay;
  explicit Coefficients(const AdamwArgs& a)
      : grad_scale(a.scalars->grad_scale),
        beta1(static_cast<float>(a.beta1)),
        gain1(static_cast<float>(1 - a.beta1)),
        beta2(static_cast<float>(a.beta2)),
        gain2(static_cast<float>(1 - a.beta2)),
        unbias1(1 / a.scalars->bias1),
        unbias2(1 / a.scalars->bias2),
        eps(static_cast<float>(a.eps)),
        rate(static_cast<float>(static_cast<double>(a.scalars->lr) * a.lr_scale)),
        decay(static_cast<float>(a.weight_decay)) {}
};

vf sqrt(vf x) {
  for (int i = 0; i < kLanes; ++i) x[i] = std::sqrt(x[i]);
  return x;
}

// copy is null when the compute values are the master's memory.
void update(const AdamwArgs& a, const Coefficients& k, bf16* copy, std::int64_t i, std::int64_t left) {
  float *p_at = a.master.as<float>() + i, *m_at = a.m.as<float>() + i, *v_at = a.v.as<float>() + i;
  const vf g = load_tail(a.grad.as<float>() + i, left) * k.grad_scale;
  const vf m = load_tail(m_at, left) * k.beta1 + g * k.gain1;
  const vf v = load_tail(v_at, left) * k.beta2 + g * k.gain2 * g;
  const vf p = load_tail(p_at, left);
  const vf next = p - (m * k.unbias1 / (sqrt(v * k.unbias2) + k.eps) + p * k.decay) * k.rate;
  store_tail(m_at, m, left);
  store_tail(v_at, v, left);
  store_tail(p_at, next, left);
  if (copy) store_tail(copy + i, next, left);
}

}  // namespace

void adamw(ExecContext& ctx, const AdamwArgs& a) {
  if (ctx.dry_run) return;
  const Coefficients k(a);
  bf16* copy = a.value.data == a.master.data ? nullptr : a.value.as<bf16>();
  parallel_for(a.master.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += kLanes) update(a, k, copy, i, end - i);
  });
}

}  // namespace rt::cpu
