#include "rt/ops/low_rank.h"

#include "cuda/core/gemm.h"
#include "cuda/core/map.cuh"
#include "cuda/ops/column_sums.cuh"

namespace rt::cuda {
namespace {

constexpr int kStrips = 4, kStripRows = 16, kPiece = 8;

// The sigmoid by the approximate instructions: the exact ones would take longer than the memory. Its relative
// error is below 3e-7 + |x| * 1e-7; below -87 it is zero.
template <Activation A>
struct Apply {
  __device__ float operator()(float x, float) const {
    constexpr float kLog2e = 1.44269504088896341f;
    if (A == Activation::Tanh) return tanhf(x);
    return A == Activation::Sigmoid ? rcp_fast(1 + exp2_fast(-kLog2e * x)) : x;
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

template <class T>
struct BiasArgs {
  const T *d, *y;  // y null: the slope is one
  T* out;          // null: skipped
  float* partial;  // (blocks, C)
  RowBlocks blocks;
};

// out = d * slope(y), partial = its sums over the block's rows. Grid (blocks, columns): a warp has a strip of
// rows and 32 pieces of the width.
template <class F, class T, bool Aligned>
__global__ void __launch_bounds__(kStrips * 32) low_rank_bias_kernel(F f, BiasArgs<T> a) {
  constexpr int kTile = 32 * kPiece, kTogether = 4;
  RT_SHARED(float, sums, [kStrips][kTile]);
  const RowBlock rows(a.blocks, blockIdx.x);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kTile, C = a.blocks.C;
  const std::int64_t column = first + lane * kPiece, left = C - column;
  const std::int64_t begin = rows.first + warp * kStripRows,
                     end = begin + kStripRows < rows.end ? begin + kStripRows : rows.end;
  float sum[kPiece] = {};
  for (std::int64_t row = begin; row < end; row += kTogether) {
    Piece<T, kPiece, Aligned> d_in[kTogether], y_in[kTogether];
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      const std::int64_t i = (row + k) * C + column, there = row + k < end ? left : 0;
      d_in[k].load(a.d + i, there);
      y_in[k].load(a.y + i, a.y ? there : 0);
    }
#pragma unroll
    for (int k = 0; k < kTogether; ++k) {
      float d[kPiece], y[kPiece];
      d_in[k].get(d);
      y_in[k].get(y);
#pragma unroll
      for (int j = 0; j < kPiece; ++j) {
        d[j] = f(d[j], y[j]);
        sum[j] += d[j];
      }
      if (a.out && row + k < end) store_piece<Aligned>(a.out + (row + k) * C + column, left, d);
    }
  }
  store8(&sums[warp][lane * kPiece], sum);
  const int columns = static_cast<int>(C - first < kTile ? C - first : kTile);
  fold_strips(&sums[0][0], kStrips, kTile, columns, a.partial + blockIdx.x * C + first);
}

// As times_slope, where `out` is there, and dbias is the sum of that over all rows, before rounding.
void bias_grad(ExecContext& ctx, Activation activation, const TensorView& d, const TensorView& y,
               const TensorView& out, const GradSlot& dbias) {
  const ArenaScope scope(ctx.scratch);
  const RowBlocks blocks(y.shape, kStrips * kStripRows);
  const ColumnSums sums(ctx, blocks, 1);
  if (ctx.dry_run) return;
  const dim3 grid(static_cast<unsigned>(blocks.count()),
                  static_cast<unsigned>((blocks.C + 32 * kPiece - 1) / (32 * kPiece)));
  const bool aligned = blocks.C % kPiece == 0 && all_aligned({&d, &y, &out});
  dispatch_rows(d.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    dispatch_activation<TimesSlope>(activation, [&]<class F>(F f) {
      const BiasArgs<T> args{device_ptr<T>(d), activation == Activation::None ? nullptr : device_ptr<T>(y),
                             device_ptr<T>(out), sums.partial(), blocks};
      launch("low_rank_bias_kernel", low_rank_bias_kernel<F, T, Aligned>, grid, dim3(kStrips * 32), 0,
             stream_of(ctx), f, args);
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
  const bool needs_hidden = g.x || g.w1, needs_dz = needs_hidden || g.w2;
  TensorView dz = dout.y, out;  // dz: of the pre-activation
  if (needs_dz && a.out != Activation::None) {
    dz = out = ctx.scratch.alloc(o.y.shape, o.y.dtype, "low_rank.dz");
  }
  if (g.bias) {
    bias_grad(ctx, a.out, dout.y, o.y, out, g.bias);
  } else if (out) {
    times_slope(ctx, a.out, dout.y, o.y, out);
  }
  if (!needs_dz) return;
  matmul_weight_grad(ctx, o.h, dz, g.w2);
  if (!needs_hidden) return;
  const TensorView dh = ctx.scratch.alloc(o.h.shape, o.h.dtype, "low_rank.dh");
  matmul(ctx, dz, a.w2, true, dh, false);
  if (a.hidden != Activation::None) times_slope(ctx, a.hidden, dh, o.h, dh);
  matmul_weight_grad(ctx, a.x, dh, g.w1);
  if (g.x) matmul(ctx, dh, a.w1, true, g.x.view, g.x.mode == GradMode::Accumulate);
}

}  // namespace rt::cuda
