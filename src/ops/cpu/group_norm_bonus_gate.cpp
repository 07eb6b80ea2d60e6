#include "rt/ops/group_norm_bonus_gate.h"

#include <cmath>

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load;
using simd::store;
using simd::vf;

// Heads are whole vectors: head_size is a multiple of kLanes.
template <class T>
struct Inputs {
  const T *y, *r, *k, *v, *gate, *r_k, *weight, *bias;
  Inputs(const GroupNormBonusGateArgs& a, std::int64_t row, std::int64_t C)
      : y(a.y.as<T>() + row * C),
        r(a.r.as<T>() + row * C),
        k(a.k.as<T>() + row * C),
        v(a.v.as<T>() + row * C),
        gate(a.gate.as<T>() + row * C),
        r_k(a.r_k.as<T>()),
        weight(a.weight.as<T>()),
        bias(a.bias.as<T>()) {}
};

struct Stats {
  float mean, rstd, bonus;
};

template <class T>
Stats head_stats(const Inputs<T>& in, std::int64_t first, std::int64_t end, float eps) {
  const auto N = static_cast<float>(end - first);
  vf total{}, bonus{}, square{};
  for (std::int64_t c = first; c < end; c += kLanes) {
    total += load(in.y + c);
    bonus += load(in.r + c) * load(in.k + c) * load(in.r_k + c);
  }
  const float mean = simd::sum(total) / N;
  for (std::int64_t c = first; c < end; c += kLanes) {
    const vf d = load(in.y + c) - mean;
    square += d * d;
  }
  return {mean, 1.0f / std::sqrt(simd::sum(square) / N + eps), simd::sum(bonus)};
}

template <class T>
void forward_row(const GroupNormBonusGateArgs& a, const GroupNormBonusGateOuts& o, std::int64_t row,
                 std::int64_t C) {
  const Inputs<T> in(a, row, C);
  const std::int64_t N = a.head_size;
  T* out = o.out.as<T>() + row * C;
  float* stats = o.stats ? o.stats.as<float>() + row * (C / N) * 3 : nullptr;
  for (std::int64_t first = 0; first < C; first += N) {
    const Stats s = head_stats(in, first, first + N, static_cast<float>(a.eps));
    for (std::int64_t c = first; c < first + N; c += kLanes) {
      const vf normed = (load(in.y + c) - s.mean) * s.rstd * load(in.weight + c) + load(in.bias + c);
      store(out + c, (normed + s.bonus * load(in.v + c)) * load(in.gate + c));
    }
    if (!stats) continue;
    stats[0] = s.mean;
    stats[1] = s.rstd;
    stats[2] = s.bonus;
    stats += 3;
  }
}

// One row of an activation gradient; skipped when null.
template <class T>
struct Target {
  T* row;
  bool accumulate;
  Target(const GradSlot& slot, std::int64_t offset)
      : row(slot ? slot.view.as<T>() + offset : nullptr), accumulate(slot.mode == GradMode::Accumulate) {}
  void set(std::int64_t c, vf v) const {
    if (row) put(row + c, v, kLanes, accumulate);
  }
};

void add(float* sums, std::int64_t c, vf v) {
  if (sums) store(sums + c, load(sums + c) + v);
}

template <class T>
struct Targets {
  Target<T> y, r, k, v, gate;
  float *r_k, *weight, *bias;
  Targets(const GroupNormBonusGateGrads& g, const ColumnSums& sums, std::int64_t block, std::int64_t offset)
      : y(g.y, offset),
        r(g.r, offset),
        k(g.k, offset),
        v(g.v, offset),
        gate(g.gate, offset),
        r_k(g.r_k ? sums.block(block, 0) : nullptr),
        weight(g.weight ? sums.block(block, 1) : nullptr),
        bias(g.bias ? sums.block(block, 2) : nullptr) {}
};

template <class T>
void backward_head(const Inputs<T>& in, const T* dout, const Stats& s, const Targets<T>& to,
                   std::int64_t first, std::int64_t end) {
  const auto N = static_cast<float>(end - first);
  vf sum{}, dot{}, through_v{};
  for (std::int64_t c = first; c < end; c += kLanes) {
    const vf inner = load(dout + c) * load(in.gate + c);
    const vf dxhat = inner * load(in.weight + c);
    sum += dxhat;
    dot += dxhat * ((load(in.y + c) - s.mean) * s.rstd);
    through_v += inner * load(in.v + c);
  }
  const float mean_sum = simd::sum(sum) / N, mean_dot = simd::sum(dot) / N, dbonus = simd::sum(through_v);
  for (std::int64_t c = first; c < end; c += kLanes) {
    const vf d = load(dout + c), inner = d * load(in.gate + c);
    const vf weight = load(in.weight + c), v = load(in.v + c);
    const vf xhat = (load(in.y + c) - s.mean) * s.rstd;
    const vf r = load(in.r + c), k = load(in.k + c), scale = dbonus * load(in.r_k + c);
    to.y.set(c, (inner * weight - mean_sum - xhat * mean_dot) * s.rstd);
    to.r.set(c, scale * k);
    to.k.set(c, scale * r);
    to.v.set(c, s.bonus * inner);
    to.gate.set(c, d * (xhat * weight + load(in.bias + c) + s.bonus * v));
    add(to.r_k, c, dbonus * r * k);
    add(to.weight, c, inner * xhat);
    add(to.bias, c, inner);
  }
}

}  // namespace

void group_norm_bonus_gate_forward(ExecContext& ctx, const GroupNormBonusGateArgs& a,
                                   const GroupNormBonusGateOuts& o) {
  if (ctx.dry_run) return;
  const RowPlan plan(a.y.shape);
  simd::dispatch_storage(a.y.dtype, [&]<class T>(T) {
    for_each_row_block(plan, [&](std::int64_t, std::int64_t first, std::int64_t end) {
      for (std::int64_t row = first; row < end; ++row) forward_row<T>(a, o, row, plan.C);
    });
  });
}

void group_norm_bonus_gate_backward(ExecContext& ctx, const GroupNormBonusGateArgs& a,
                                    const GroupNormBonusGateOuts& o, const GroupNormBonusGateOutGrads& dout,
                                    const GroupNormBonusGateGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowPlan plan(a.y.shape);
  const ColumnSums sums(ctx, plan, 3);
  if (ctx.dry_run) return;
  const std::int64_t N = a.head_size, H = plan.C / N;
  simd::dispatch_storage(a.y.dtype, [&]<class T>(T) {
    for_each_row_block(plan, [&](std::int64_t block, std::int64_t first, std::int64_t end) {
      for (std::int64_t row = first; row < end; ++row) {
        const Inputs<T> in(a, row, plan.C);
        const Targets<T> to(g, sums, block, row * plan.C);
        const T* d = dout.out.as<T>() + row * plan.C;
        for (std::int64_t h = 0; h < H; ++h) {
          const float* s = o.stats.as<float>() + (row * H + h) * 3;
          backward_head(in, d, {s[0], s[1], s[2]}, to, h * N, (h + 1) * N);
        }
      }
    });
  });
  sums.reduce(0, g.r_k);
  sums.reduce(1, g.weight);
  sums.reduce(2, g.bias);
}

}  // namespace rt::cpu
