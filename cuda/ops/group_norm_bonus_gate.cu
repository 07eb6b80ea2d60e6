#include "rt/ops/group_norm_bonus_gate.h"

#include "cuda/ops/heads.cuh"

namespace rt::cuda {
namespace {

constexpr int kStripRows = 8, kRows = kHeadWarps * kStripRows;

template <class T>
struct Inputs {
  const T *y, *r, *k, *v, *gate, *r_k, *weight, *bias;
  float* stats;  // (rows, H, 3) mean, rstd, bonus; null when nobody wants them
  std::int64_t H;
  HeadTiles tiles;
};

template <class T>
Inputs<T> inputs(const GroupNormBonusGateArgs& a, const GroupNormBonusGateOuts& o, const HeadTiles& tiles) {
  return {device_ptr<T>(a.y),
          device_ptr<T>(a.r),
          device_ptr<T>(a.k),
          device_ptr<T>(a.v),
          device_ptr<T>(a.gate),
          device_ptr<T>(a.r_k),
          device_ptr<T>(a.weight),
          device_ptr<T>(a.bias),
          o.stats ? o.stats.as<float>() : nullptr,
          tiles.C / tiles.N,
          tiles};
}

// A lane's channels of the three parameters, as stored: they are small that way.
template <class T, bool Aligned>
struct Parameters {
  Piece<T, kHeadPiece, Aligned> r_k, weight, bias;
  __device__ __forceinline__ Parameters(const Inputs<T>& in, const HeadLane& at) {
    r_k.load(in.r_k + at.column, at.left);
    weight.load(in.weight + at.column, at.left);
    bias.load(in.bias + at.column, at.left);
  }
};

template <class T>
struct ForwardArgs {
  Inputs<T> in;
  T* out;
  std::int64_t rows;
  float eps;
};

struct Stats {
  float mean, rstd, bonus;
};

// Of the lane's head. y comes as it is and leaves without its mean.
__device__ __forceinline__ Stats head_stats(float (&y)[kHeadPiece], float bonus, const HeadTiles& tiles,
                                            bool there, float eps) {
  Stats s;
  const float N = static_cast<float>(tiles.N);
  float total = 0, square = 0;
#pragma unroll
  for (int j = 0; j < kHeadPiece; ++j) total += y[j];
  s.mean = group_sum(total, tiles.lanes) / N;
#pragma unroll
  for (int j = 0; j < kHeadPiece; ++j) {
    y[j] -= s.mean;
    if (there) square += y[j] * y[j];
  }
  s.rstd = 1.0f / sqrtf(group_sum(square, tiles.lanes) / N + eps);
  s.bonus = group_sum(bonus, tiles.lanes);
  return s;
}

// A warp takes every gridDim.x * kHeadWarps-th row of tile blockIdx.y.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kHeadThreads) group_norm_bonus_gate_forward_kernel(ForwardArgs<T> a) {
  const HeadLane at(a.in.tiles);
  const Parameters<T, Aligned> parameters(a.in, at);
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kHeadWarps;
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kHeadWarps + threadIdx.x / 32; row < a.rows;
       row += step) {
    const std::int64_t i = row * a.in.tiles.C + at.column;
    Piece<T, kHeadPiece, Aligned> y_in, r_in, k_in, v_in, gate_in;
    y_in.load(a.in.y + i, at.left);
    r_in.load(a.in.r + i, at.left);
    k_in.load(a.in.k + i, at.left);
    v_in.load(a.in.v + i, at.left);
    gate_in.load(a.in.gate + i, at.left);
    float y[kHeadPiece], p[kHeadPiece], q[kHeadPiece], bonus = 0;
    r_in.get(p);
    k_in.get(q);
#pragma unroll
    for (int j = 0; j < kHeadPiece; ++j) p[j] *= q[j];
    parameters.r_k.get(q);
#pragma unroll
    for (int j = 0; j < kHeadPiece; ++j) bonus += p[j] * q[j];
    y_in.get(y);
    const Stats s = head_stats(y, bonus, a.in.tiles, at.left > 0, a.eps);
    parameters.weight.get(p);
    parameters.bias.get(q);
#pragma unroll
    for (int j = 0; j < kHeadPiece; ++j) y[j] = y[j] * s.rstd * p[j] + q[j];
    v_in.get(p);
    gate_in.get(q);
#pragma unroll
    for (int j = 0; j < kHeadPiece; ++j) y[j] = (y[j] + s.bonus * p[j]) * q[j];
    store_piece<Aligned>(a.out + i, at.left, y);
    if (a.in.stats && at.left > 0 && at.column % a.in.tiles.N == 0) {
      float* stats = a.in.stats + (row * a.in.H + at.head) * 3;
      stats[0] = s.mean;
      stats[1] = s.rstd;
      stats[2] = s.bonus;
    }
  }
}

template <class T>
struct BackwardArgs {
  Inputs<T> in;
  const T* dout;
  Target<T> y, r, k, v, gate;
  float* partial;  // (blocks, 3, C): dr_k, dweight, dbias
  bool sum[3];
  RowBlocks blocks;
};

struct Sums {
  float r_k[kHeadPiece] = {}, weight[kHeadPiece] = {}, bias[kHeadPiece] = {};
};

template <class T>
__device__ __forceinline__ Stats load_stats(const BackwardArgs<T>& a, std::int64_t row, const HeadLane& at) {
  if (at.left <= 0) return {};
  const float* stats = a.in.stats + (row * a.in.H + at.head) * 3;
  return {stats[0], stats[1], stats[2]};
}

enum Tensor : int { kOut, kGate, kY, kV, kR, kK, kTensors };
template <class T, bool Aligned>
using Rows = HeadRows<T, Aligned, kTensors>;

// A row's share of a lane, in the order that keeps the fewest arrays alive. The gradients of the parameters
// are added to its sums.
template <class T, bool Aligned>
__device__ __forceinline__ void backward_row(const BackwardArgs<T>& a, const Rows<T, Aligned>& in,
                                             std::int64_t row, const Stats& s, const HeadLane& at,
                                             const Parameters<T, Aligned>& parameters, Sums& sums) {
  const std::int64_t begin = row * a.blocks.C, i = begin + at.column;
  float inner[kHeadPiece], xhat[kHeadPiece], p[kHeadPiece], q[kHeadPiece], t[kHeadPiece];
  float sum = 0, dot = 0, dbonus = 0;  // of dxhat, dxhat * xhat, d(out before the gate) * v
  in.get(kOut, begin, p);
  in.get(kGate, begin, inner);
  in.get(kY, begin, xhat);
  parameters.weight.get(q);
  in.get(kV, begin, t);
#pragma unroll
  for (int j = 0; j < kHeadPiece; ++j) {
    inner[j] *= p[j];
    xhat[j] = (xhat[j] - s.mean) * s.rstd;
    sums.weight[j] += inner[j] * xhat[j];
    sums.bias[j] += inner[j];
    sum += inner[j] * q[j];
    dot += inner[j] * q[j] * xhat[j];
    dbonus += inner[j] * t[j];
  }
  sum = group_sum(sum, a.in.tiles.lanes) / static_cast<float>(a.in.tiles.N);
  dot = group_sum(dot, a.in.tiles.lanes) / static_cast<float>(a.in.tiles.N);
  dbonus = group_sum(dbonus, a.in.tiles.lanes);
  Piece<T, kHeadPiece, Aligned> bias_in;  // from the cache: one piece too many to keep
  float bias[kHeadPiece];
  bias_in.load(a.in.bias + at.column, at.left);
  bias_in.get(bias);
#pragma unroll
  for (int j = 0; j < kHeadPiece; ++j) {
    p[j] *= xhat[j] * q[j] + bias[j] + s.bonus * t[j];
    xhat[j] = (inner[j] * q[j] - sum - xhat[j] * dot) * s.rstd;
    inner[j] *= s.bonus;
  }
  a.gate.template put<Aligned>(i, at.left, p);
  a.y.template put<Aligned>(i, at.left, xhat);
  a.v.template put<Aligned>(i, at.left, inner);
  in.get(kR, begin, p);
  in.get(kK, begin, q);
  parameters.r_k.get(t);
#pragma unroll
  for (int j = 0; j < kHeadPiece; ++j) {
    sums.r_k[j] += dbonus * p[j] * q[j];
    p[j] *= dbonus * t[j];
    q[j] *= dbonus * t[j];
  }
  a.k.template put<Aligned>(i, at.left, p);
  a.r.template put<Aligned>(i, at.left, q);
}

template <class T, bool Aligned>
__global__ void __launch_bounds__(kHeadThreads, Aligned && sizeof(T) == 2 ? 2 : 1)
    group_norm_bonus_gate_backward_kernel(BackwardArgs<T> a) {
  const HeadLane at(a.in.tiles);
  const RowBlock rows(a.blocks, blockIdx.x);
  const std::int64_t first = rows.first + threadIdx.x / 32 * kStripRows,
                     end = first + kStripRows < rows.end ? first + kStripRows : rows.end;
  Smem smem;
  Rows<T, Aligned> in({a.dout, a.in.gate, a.in.y, a.in.v, a.in.r, a.in.k}, at, smem);
  if (kAhead < T >> 0) in.start(first * a.blocks.C, first < end);
  const Parameters<T, Aligned> parameters(a.in, at);
  Sums sums;
  Stats next = first < end ? load_stats(a, first, at) : Stats{};
  for (std::int64_t row = first; row < end; ++row) {
    const Stats stats = next;
    in.start((row + kAhead<T>)*a.blocks.C, row + kAhead<T> < end);
    if (row + 1 < end) next = load_stats(a, row + 1, at);
    in.next();
    backward_row<T, Aligned>(a, in, row, stats, at, parameters, sums);
  }
  const std::int64_t C = a.blocks.C;
  float* out = a.partial + blockIdx.x * 3 * C;
  if (a.sum[0]) fold_heads(at, sums.r_k, out);
  if (a.sum[1]) fold_heads(at, sums.weight, out + C);
  if (a.sum[2]) fold_heads(at, sums.bias, out + 2 * C);
}

bool aligned_inputs(const GroupNormBonusGateArgs& a) {
  return all_aligned({&a.y, &a.r, &a.k, &a.v, &a.gate, &a.r_k, &a.weight, &a.bias});
}

}  // namespace

void group_norm_bonus_gate_forward(ExecContext& ctx, const GroupNormBonusGateArgs& a,
                                   const GroupNormBonusGateOuts& o) {
  if (ctx.dry_run) return;
  const HeadTiles tiles("group_norm_bonus_gate", a.y.shape.back(), a.head_size);
  const std::int64_t rows = a.y.numel() / tiles.C;
  dim3 grid = capped_grid(rows, kHeadWarps);
  grid.y = tiles.count();
  const bool aligned = aligned_inputs(a) && all_aligned({&o.out});
  dispatch_rows(a.y.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    const ForwardArgs<T> args{inputs<T>(a, o, tiles), device_ptr<T>(o.out), rows, static_cast<float>(a.eps)};
    launch("group_norm_bonus_gate_forward_kernel", group_norm_bonus_gate_forward_kernel<T, Aligned>, grid,
           dim3(kHeadThreads), 0, stream_of(ctx), args);
  });
}

void group_norm_bonus_gate_backward(ExecContext& ctx, const GroupNormBonusGateArgs& a,
                                    const GroupNormBonusGateOuts& o, const GroupNormBonusGateOutGrads& dout,
                                    const GroupNormBonusGateGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowBlocks blocks(a.y.shape, kRows);
  const ColumnSums sums(ctx, blocks, 3);
  if (ctx.dry_run) return;
  const HeadTiles tiles("group_norm_bonus_gate", a.y.shape.back(), a.head_size);
  const bool aligned =
      aligned_inputs(a) && all_aligned({&dout.out, &g.y.view, &g.r.view, &g.k.view, &g.v.view, &g.gate.view});
  dispatch_rows(a.y.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    const BackwardArgs<T> args{
        inputs<T>(a, o, tiles),
        device_ptr<T>(dout.out),
        target<T>(g.y),
        target<T>(g.r),
        target<T>(g.k),
        target<T>(g.v),
        target<T>(g.gate),
        sums.partial(),
        {static_cast<bool>(g.r_k), static_cast<bool>(g.weight), static_cast<bool>(g.bias)},
        blocks};
    launch("group_norm_bonus_gate_backward_kernel", group_norm_bonus_gate_backward_kernel<T, Aligned>,
           dim3(static_cast<unsigned>(blocks.count()), tiles.count()), dim3(kHeadThreads),
           Rows<T, Aligned>::kSmem, stream_of(ctx), args);
  });
  sums.finish(ctx, std::initializer_list<GradSlot>{g.r_k, g.weight, g.bias});
}

}  // namespace rt::cuda
