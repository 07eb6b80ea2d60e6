#include "rt/ops/low_rank.h"

#include "ops/cpu/gemm.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::store_tail;
using simd::vf;

vf apply(Activation f, vf x) {
  if (f == Activation::Tanh) return simd::tanh(x);
  return f == Activation::Sigmoid ? simd::sigmoid(x) : x;
}

// The derivative at the point where the activation is y.
vf slope(Activation f, vf y) {
  if (f == Activation::Tanh) return 1.0f - y * y;
  return f == Activation::Sigmoid ? y * (1.0f - y) : simd::splat(1.0f);
}

// tile <- f(element, its row, its column) by vectors.
template <class F>
void map_tile(const Tile& tile, const F& f) {
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    float* p = tile.data + i * tile.ld;
    for (std::int64_t c = 0; c < tile.cols; c += kLanes) {
      const std::int64_t left = tile.cols - c;
      store_tail(p + c, f(load_tail(p + c, left), tile.row + i, tile.col + c, left), left);
    }
  }
}

// dz (rows, C2) f32 = dy * slope(y), and its column sums.
template <class T>
void out_rows(const LowRankArgs& a, const LowRankOuts& o, const T* dy, float* dz, float* dbias,
              std::int64_t row, std::int64_t C2) {
  const T* y = o.y.as<T>() + row * C2;
  for (std::int64_t c = 0; c < C2; c += kLanes) {
    const std::int64_t left = C2 - c;
    vf d = load_tail(dy + row * C2 + c, left);
    if (a.out != Activation::None) d *= slope(a.out, load_tail(y + c, left));
    if (dz) store_tail(dz + row * C2 + c, d, left);
    if (dbias) store_tail(dbias + c, load_tail(dbias + c, left) + d, left);
  }
}

}  // namespace

void low_rank_forward(ExecContext& ctx, const LowRankArgs& a, const LowRankOuts& o) {
  const RowPlan rows(a.x.shape);
  matmul_finish(ctx, rows, a.x, a.w1, false, o.h, [&](const Tile& tile) {
    if (a.hidden == Activation::None) return;
    map_tile(tile, [&](vf v, std::int64_t, std::int64_t, std::int64_t) { return apply(a.hidden, v); });
  });
  matmul_finish(ctx, rows, o.h, a.w2, false, o.y, [&](const Tile& tile) {
    if (!a.bias && a.out == Activation::None) return;
    simd::dispatch_storage(a.w2.dtype, [&]<class T>(T) {
      const T* bias = a.bias ? a.bias.as<T>() : nullptr;
      map_tile(tile, [&](vf v, std::int64_t, std::int64_t c, std::int64_t left) {
        return apply(a.out, bias ? v + load_tail(bias + c, left) : v);
      });
    });
  });
}

void low_rank_backward(ExecContext& ctx, const LowRankArgs& a, const LowRankOuts& o,
                       const LowRankOutGrads& dout, const LowRankGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowPlan rows(a.x.shape), out_plan(o.y.shape);
  const bool needs_hidden = g.x || g.w1;
  // With no activation and f32 storage, dy is dz already.
  const bool same = a.out == Activation::None && dout.y.dtype == DType::F32;
  const TensorView dz = same ? dout.y : ctx.scratch.alloc(o.y.shape, DType::F32, "low_rank.dz");
  if (!same || g.bias) {
    const ArenaScope sums_scope(ctx.scratch);
    const ColumnSums sums(ctx, out_plan, 1);
    if (!ctx.dry_run) {
      simd::dispatch_storage(dout.y.dtype, [&]<class T>(T) {
        for_each_row_block(out_plan, [&](std::int64_t block, std::int64_t first, std::int64_t end) {
          for (std::int64_t row = first; row < end; ++row) {
            out_rows<T>(a, o, dout.y.as<T>(), same ? nullptr : dz.as<float>(),
                        g.bias ? sums.block(block, 0) : nullptr, row, out_plan.C);
          }
        });
      });
      sums.reduce(0, g.bias);
    }
  }
  matmul_weight_grad(ctx, rows, o.h, dz, g.w2);
  if (!needs_hidden) return;
  const TensorView dh = ctx.scratch.alloc(o.h.shape, DType::F32, "low_rank.dh");
  matmul_finish(ctx, rows, dz, a.w2, true, dh, [&](const Tile& tile) {
    if (a.hidden == Activation::None) return;
    simd::dispatch_storage(o.h.dtype, [&]<class T>(T) {
      const T* h = o.h.as<T>();
      map_tile(tile, [&](vf v, std::int64_t row, std::int64_t d, std::int64_t left) {
        return v * slope(a.hidden, load_tail(h + row * o.h.shape[1] + d, left));
      });
    });
  });
  matmul_weight_grad(ctx, rows, a.x, dh, g.w1);
  if (g.x) matmul(ctx, rows, dh, a.w1, true, g.x.view, g.x.mode == GradMode::Accumulate);
}

}  // namespace rt::cpu
