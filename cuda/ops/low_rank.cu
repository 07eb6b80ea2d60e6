#include "rt/ops/low_rank.h"

#include "cuda/core/gemm.h"
#include "cuda/core/map.cuh"
#include "cuda/ops/column_sums.cuh"

namespace rt::cuda {
namespace {

constexpr int kColumns = 128, kBlockRows = 64;

template <Activation A>
struct Apply {
  __device__ float operator()(float x, float) const {
    if (A == Activation::Tanh) return tanhf(x);
    return A == Activation::Sigmoid ? 1 / (1 + expf(-x)) : x;
  }
};

// Times the derivative at the point where the activation is y.
template <Activation A>
struct TimesSlope {
  __device__ float operator()(float d, float y) const {
    if (A == Activation::Tanh) return d * (1 - y * y);
    return A == Activation::Sigmoid ? d * (y * (1 - y)) : d;
  }
};

// Calls g(F<activation>{}).
template <template <Activation> class F, class G>
void dispatch_activation(Activation activation, const G& g) {
  if (activation == Activation::Tanh) return g(F<Activation::Tanh>{});
  if (activation == Activation::Sigmoid) return g(F<Activation::Sigmoid>{});
  g(F<Activation::None>{});
}

// x <- activation(x)
void activate(ExecContext& ctx, Activation activation, const TensorView& x) {
  if (activation == Activation::None) return;
  dispatch_activation<Apply>(activation, [&](auto f) { map(ctx, "low_rank_activation_kernel", f, x, x, x); });
}

// out <- d * slope(y)
void times_slope(ExecContext& ctx, Activation activation, const TensorView& d, const TensorView& y,
                 const TensorView& out) {
  dispatch_activation<TimesSlope>(activation,
                                  [&](auto f) { map(ctx, "low_rank_slope_kernel", f, d, y, out); });
}

// partial (blocks, C) = sums of d * slope(y) over the block's rows. Grid (blocks, columns), a thread per
// column.
template <class F, class T>
__global__ void low_rank_bias_kernel(F f, const T* d, const T* y, float* partial, RowBlocks blocks) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * kColumns + threadIdx.x;
  const RowBlock block(blocks, blockIdx.x);
  if (c >= blocks.C) return;
  float sum = 0;
#pragma unroll 8
  for (std::int64_t row = block.first; row < block.end; ++row) {
    sum += f(to_float(d[row * blocks.C + c]), to_float(y[row * blocks.C + c]));
  }
  partial[blockIdx.x * blocks.C + c] = sum;
}

void bias_grad(ExecContext& ctx, Activation activation, const TensorView& dy, const TensorView& y,
               const GradSlot& dbias) {
  const ArenaScope scope(ctx.scratch);
  const RowBlocks blocks(y.shape, kBlockRows);
  const ColumnSums sums(ctx, blocks, 1);
  if (ctx.dry_run) return;
  const dim3 grid(static_cast<unsigned>(blocks.count()),
                  static_cast<unsigned>((blocks.C + kColumns - 1) / kColumns));
  dispatch_storage(dy.dtype, [&]<class T>(T*) {
    dispatch_activation<TimesSlope>(activation, [&]<class F>(F f) {
      launch("low_rank_bias_kernel", low_rank_bias_kernel<F, T>, grid, dim3(kColumns), 0, stream_of(ctx), f,
             device_ptr<const T>(dy), device_ptr<const T>(y), sums.partial(), blocks);
    });
  });
  sums.finish(ctx, std::initializer_list<GradSlot>{dbias});
}

}  // namespace

// The bias is added by the product itself. The pre-activation is rounded to the storage dtype in between.
void low_rank_forward(ExecContext& ctx, const LowRankArgs& a, const LowRankOuts& o) {
  matmul(ctx, a.x, a.w1, false, o.h, false);
  activate(ctx, a.hidden, o.h);
  matmul(ctx, o.h, a.w2, false, o.y, false, a.bias);
  activate(ctx, a.out, o.y);
}

void low_rank_backward(ExecContext& ctx, const LowRankArgs& a, const LowRankOuts& o,
                       const LowRankOutGrads& dout, const LowRankGrads& g) {
  const ArenaScope scope(ctx.scratch);
  if (g.bias) bias_grad(ctx, a.out, dout.y, o.y, g.bias);
  const bool needs_hidden = g.x || g.w1;
  if (!needs_hidden && !g.w2) return;
  TensorView dz = dout.y;  // of the pre-activation
  if (a.out != Activation::None) {
    dz = ctx.scratch.alloc(o.y.shape, o.y.dtype, "low_rank.dz");
    times_slope(ctx, a.out, dout.y, o.y, dz);
  }
  matmul_weight_grad(ctx, o.h, dz, g.w2);
  if (!needs_hidden) return;
  const TensorView dh = ctx.scratch.alloc(o.h.shape, o.h.dtype, "low_rank.dh");
  matmul(ctx, dz, a.w2, true, dh, false);
  if (a.hidden != Activation::None) times_slope(ctx, a.hidden, dh, o.h, dh);
  matmul_weight_grad(ctx, a.x, dh, g.w1);
  if (g.x) matmul(ctx, dh, a.w1, true, g.x.view, g.x.mode == GradMode::Accumulate);
}

}  // namespace rt::cuda
