#include "rt/ops/adamw.h"

#include <cmath>
#include <type_traits>

#include "ops/cpu/rows.h"
#include "rt/core/philox.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::store_tail;
using simd::vf;
using simd::vu;

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

// The random words of elements [i, i + kLanes); i is a multiple of 4.
vu random_words(const Rng& rng, std::int64_t i) {
  vu words;
  for (int lane = 0; lane < kLanes; lane += 4) {
    const PhiloxBlock block = philox(rng.seed, rng.stream, static_cast<std::uint64_t>(i + lane) / 4);
    for (int k = 0; k < 4; ++k) words[lane + k] = block.word[k];
  }
  return words;
}

// round_stochastic of every lane.
vf rounded(vf x, vu random) {
  const vu bits = std::bit_cast<vu>(x);
  return (bits & 0x7f800000u) == 0x7f800000u ? x : std::bit_cast<vf>((bits + random) & 0xffff0000u);
}

// M is the storage type of moments; copy is null when the compute values are the master's memory.
template <class M>
void update(const AdamwArgs& a, const Coefficients& k, bf16* copy, std::int64_t i, std::int64_t left) {
  float* p_at = a.master.as<float>() + i;
  M *m_at = a.m.as<M>() + i, *v_at = a.v.as<M>() + i;
  const vf g = load_tail(a.grad.as<float>() + i, left) * k.grad_scale;
  vf m = load_tail(m_at, left) * k.beta1 + g * k.gain1;
  vf v = load_tail(v_at, left) * k.beta2 + g * k.gain2 * g;
  const vf p = load_tail(p_at, left);
  const vf next = p - (m * k.unbias1 / (sqrt(v * k.unbias2) + k.eps) + p * k.decay) * k.rate;
  if constexpr (std::is_same_v<M, bf16>) {
    const vu random = random_words(a.scalars->rounding, a.begin + i);
    m = rounded(m, random & 0xffffu);
    v = rounded(v, random >> 16);
  }
  store_tail(m_at, m, left);
  store_tail(v_at, v, left);
  store_tail(p_at, next, left);
  if (copy) store_tail(copy + i, next, left);
}

}  // namespace

void adamw(ExecContext& ctx, const AdamwArgs& a) {
  if (ctx.dry_run || a.scalars->halted != 0) return;
  const Coefficients k(a);
  bf16* copy = a.value.data == a.master.data ? nullptr : a.value.as<bf16>();
  simd::dispatch_storage(a.m.dtype, [&]<class M>(M) {
    parallel_for(a.master.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; i += kLanes) update<M>(a, k, copy, i, end - i);
    });
  });
}

}  // namespace rt::cpu
