#include "rt/ops/channel_mix.h"

#include <cmath>

#include "ops/cpu/gemm.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::vf;

void relu_squared(const Tile& t) {
  for (std::int64_t i = 0; i < t.rows; ++i) {
    float* row = t.data + i * t.ld;
    for (std::int64_t c = 0; c < t.cols; c += kLanes) {
      const vf h = simd::max(load_tail(row + c, t.cols - c), vf{});
      simd::store_tail(row + c, h * h, t.cols - c);
    }
  }
}

// d act becomes d h.
template <class T>
void times_derivative(const Tile& t, const T* act, std::int64_t F) {
  for (std::int64_t i = 0; i < t.rows; ++i) {
    float* row = t.data + i * t.ld;
    const T* saved = act + (t.row + i) * F + t.col;
    for (std::int64_t c = 0; c < t.cols; c += kLanes) {
      vf root = load_tail(saved + c, t.cols - c);
      for (int lane = 0; lane < kLanes; ++lane) root[lane] = std::sqrt(root[lane]);
      simd::store_tail(row + c, load_tail(row + c, t.cols - c) * root * 2.0f, t.cols - c);
    }
  }
}

Shape inner_shape(const ChannelMixArgs& a) {
  Shape shape = a.x.shape;
  shape[shape.rank() - 1] = a.key.shape[0];
  return shape;
}

}  // namespace

void channel_mix_forward(ExecContext& ctx, const ChannelMixArgs& a, const ChannelMixOuts& o) {
  const ArenaScope scope(ctx.scratch);
  const RowPlan rows(a.x.shape);
  const TensorView act = o.act ? o.act : ctx.scratch.alloc(inner_shape(a), a.x.dtype, "channel_mix.act");
  matmul_finish(ctx, rows, a.x, a.key, true, act, relu_squared);
  matmul(ctx, rows, act, a.value, true, o.y, false);
}

void channel_mix_backward(ExecContext& ctx, const ChannelMixArgs& a, const ChannelMixOuts& o,
                          const ChannelMixOutGrads& dout, const ChannelMixGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowPlan rows(a.x.shape);
  matmul_weight_grad(ctx, rows, dout.y, o.act, g.value);
  if (!g.x && !g.key) return;
  const std::int64_t F = a.key.shape[0];
  const TensorView dh = ctx.scratch.alloc(inner_shape(a), DType::F32, "channel_mix.dh");
  matmul_finish(ctx, rows, dout.y, a.value, false, dh, [&](const Tile& tile) {
    simd::dispatch_storage(o.act.dtype, [&]<class T>(T) { times_derivative(tile, o.act.as<T>(), F); });
  });
  matmul_weight_grad(ctx, rows, dh, a.x, g.key);
  if (g.x) matmul(ctx, rows, dh, a.key, false, g.x.view, g.x.mode == GradMode::Accumulate);
}

}  // namespace rt::cpu
