#include "rt/ops/layer_norm.h"

#include <cmath>

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::vf;

// Lanes at or past `left` become zero: they hold -mean otherwise.
vf keep(vf v, std::int64_t left) {
  if (left >= kLanes) return v;
  for (auto i = static_cast<int>(left); i < kLanes; ++i) v[i] = 0;
  return v;
}

template <class T>
void forward_rows(const LayerNormArgs& a, const LayerNormOuts& o, std::int64_t first, std::int64_t end) {
  const std::int64_t C = a.x.shape.back();
  const T *w = a.weight.as<T>(), *b = a.bias.as<T>();
  for (std::int64_t i = first; i < end; ++i) {
    const T* x = a.x.as<T>() + i * C;
    T* y = o.y.as<T>() + i * C;
    vf total{}, square{};
    for (std::int64_t c = 0; c < C; c += kLanes) total += load_tail(x + c, C - c);
    const float mean = simd::sum(total) / static_cast<float>(C);
    for (std::int64_t c = 0; c < C; c += kLanes) {
      const vf d = keep(load_tail(x + c, C - c) - mean, C - c);
      square += d * d;
    }
    const float var = simd::sum(square) / static_cast<float>(C);
    const float rstd = 1.0f / std::sqrt(var + static_cast<float>(a.eps));
    for (std::int64_t c = 0; c < C; c += kLanes) {
      const vf xhat = (load_tail(x + c, C - c) - mean) * rstd;
      simd::store_tail(y + c, xhat * load_tail(w + c, C - c) + load_tail(b + c, C - c), C - c);
    }
    if (o.stats) {
      o.stats.as<float>()[2 * i] = mean;
      o.stats.as<float>()[2 * i + 1] = rstd;
    }
  }
}

template <class T>
void backward_row(const LayerNormArgs& a, const T* x, const T* dy, const float* stats, const GradSlot& dx,
                  T* dx_row, float* dw, float* db) {
  const std::int64_t C = a.x.shape.back();
  const T* w = a.weight.as<T>();
  const float mean = stats[0], rstd = stats[1];
  vf sum{}, dot{};
  for (std::int64_t c = 0; c < C; c += kLanes) {
    const vf g = load_tail(dy + c, C - c);
    const vf xhat = (load_tail(x + c, C - c) - mean) * rstd;
    const vf dxhat = g * load_tail(w + c, C - c);
    sum += dxhat;  // g is zero past the end
    dot += dxhat * xhat;
    simd::store_tail(dw + c, load_tail(dw + c, C - c) + g * xhat, C - c);
    simd::store_tail(db + c, load_tail(db + c, C - c) + g, C - c);
  }
  if (!dx) return;
  const float mean_sum = simd::sum(sum) / static_cast<float>(C);
  const float mean_dot = simd::sum(dot) / static_cast<float>(C);
  for (std::int64_t c = 0; c < C; c += kLanes) {
    const vf xhat = (load_tail(x + c, C - c) - mean) * rstd;
    const vf dxhat = load_tail(dy + c, C - c) * load_tail(w + c, C - c);
    put(dx_row + c, (dxhat - mean_sum - xhat * mean_dot) * rstd, C - c, dx.mode == GradMode::Accumulate);
  }
}

}  // namespace

void layer_norm_forward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o) {
  if (ctx.dry_run) return;
  simd::dispatch_storage(a.x.dtype, [&]<class T>(T) {
    for_each_row_block(RowPlan(a.x.shape), [&](std::int64_t, std::int64_t first, std::int64_t end) {
      forward_rows<T>(a, o, first, end);
    });
  });
}

void layer_norm_backward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o,
                         const LayerNormOutGrads& dout, const LayerNormGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowPlan plan(a.x.shape);
  const ColumnSums sums(ctx, plan, 2);
  if (ctx.dry_run) return;
  simd::dispatch_storage(a.x.dtype, [&]<class T>(T) {
    for_each_row_block(plan, [&](std::int64_t block, std::int64_t first, std::int64_t end) {
      for (std::int64_t i = first; i < end; ++i) {
        backward_row<T>(a, a.x.as<T>() + i * plan.C, dout.y.as<T>() + i * plan.C, o.stats.as<float>() + 2 * i,
                        g.x, g.x ? g.x.view.as<T>() + i * plan.C : nullptr, sums.block(block, 0),
                        sums.block(block, 1));
      }
    });
  });
  sums.reduce(0, g.weight);
  sums.reduce(1, g.bias);
}

}  // namespace rt::cpu
