#include "rt/ops/key_prepare.h"

#include "cuda/ops/heads.cuh"

namespace rt::cuda {
namespace {

constexpr int kStripRows = 8, kRows = kHeadWarps * kStripRows;
constexpr float kFloor = static_cast<float>(kMinKeyNorm);

template <class T>
struct Inputs {
  const T *k, *rate, *k_k, *k_a;
  HeadTiles tiles;
};

template <class T>
Inputs<T> inputs(const KeyPrepareArgs& a, const HeadTiles& tiles) {
  return {device_ptr<T>(a.k), device_ptr<T>(a.rate), device_ptr<T>(a.k_k), device_ptr<T>(a.k_a), tiles};
}

template <class T>
struct ForwardArgs {
  Inputs<T> in;
  T *k, *a, *b;
  std::int64_t rows;
};

// A warp takes every gridDim.x * kHeadWarps-th row of tile blockIdx.y.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kHeadThreads) key_prepare_forward_kernel(ForwardArgs<T> a) {
  using P = Piece<T, kHeadPiece, Aligned>;
  const HeadLane at(a.in.tiles);
  P k_k_in, k_a_in;
  k_k_in.load(a.in.k_k + at.column, at.left);
  k_a_in.load(a.in.k_a + at.column, at.left);
  float k_k[kHeadPiece], k_a[kHeadPiece];
  k_k_in.get(k_k);
  k_a_in.get(k_a);
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kHeadWarps;
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kHeadWarps + threadIdx.x / 32; row < a.rows;
       row += step) {
    const std::int64_t i = row * a.in.tiles.C + at.column;
    P k_in, rate_in;
    k_in.load(a.in.k + i, at.left);
    rate_in.load(a.in.rate + i, at.left);
    float k[kHeadPiece], rate[kHeadPiece], kappa[kHeadPiece], square = 0;
    k_in.get(k);
    rate_in.get(rate);
#pragma unroll
    for (int j = 0; j < kHeadPiece; ++j) {
      kappa[j] = k[j] * k_k[j];
      square += kappa[j] * kappa[j];
      k[j] *= 1.0f + (rate[j] - 1.0f) * k_a[j];
    }
    const float inverse = 1.0f / fmaxf(sqrtf(group_sum(square, a.in.tiles.lanes)), kFloor);
#pragma unroll
    for (int j = 0; j < kHeadPiece; ++j) {
      kappa[j] *= -inverse;
      rate[j] *= -kappa[j];
    }
    store_piece<Aligned>(a.k + i, at.left, k);
    store_piece<Aligned>(a.a + i, at.left, kappa);
    store_piece<Aligned>(a.b + i, at.left, rate);
  }
}

template <class T>
struct BackwardArgs {
  Inputs<T> in;
  const T *k, *a, *b;  // gradients of the outputs; null: zeros
  Target<T> dk, drate;
  float* partial;  // (blocks, 2, C): dk_k, dk_a
  bool sum_k_k, sum_k_a;
  RowBlocks blocks;
};

enum Tensor : int { kKey, kRate, kToK, kToA, kToB, kTensors };
template <class T, bool Aligned>
using Rows = HeadRows<T, Aligned, kTensors>;

// A row's share of a lane; the gradients of k_k and k_a are added to its sums.
template <class T, bool Aligned>
__device__ __forceinline__ void backward_row(const BackwardArgs<T>& a, const Rows<T, Aligned>& in,
                                             std::int64_t row, const HeadLane& at,
                                             const float (&k_k)[kHeadPiece], const float (&k_a)[kHeadPiece],
                                             float (&dk_k)[kHeadPiece], float (&dk_a)[kHeadPiece]) {
  const std::int64_t begin = row * a.blocks.C, i = begin + at.column;
  float k[kHeadPiece], rate[kHeadPiece], d[kHeadPiece], da[kHeadPiece], db[kHeadPiece];
  in.get(kKey, begin, k);
  in.get(kRate, begin, rate);
  in.get(kToK, begin, d);
  in.get(kToA, begin, da);
  in.get(kToB, begin, db);
  float square = 0, dot = 0;  // |u|^2 and u . dkappa
#pragma unroll
  for (int j = 0; j < kHeadPiece; ++j) {
    const float u = k[j] * k_k[j];
    square += u * u;
    da[j] = rate[j] * db[j] - da[j];  // dkappa
    dot += u * da[j];
  }
  const float norm = sqrtf(group_sum(square, a.in.tiles.lanes));
  dot = group_sum(dot, a.in.tiles.lanes);
  const bool tiny = norm < kFloor;  // the divisor is then a constant
  const float inverse = 1.0f / (tiny ? kFloor : norm), projection = tiny ? 0.0f : dot * inverse;
#pragma unroll
  for (int j = 0; j < kHeadPiece; ++j) {
    const float kappa = k[j] * k_k[j] * inverse, to_rate = d[j] * k[j];
    const float du = (da[j] - kappa * projection) * inverse;
    dk_k[j] += du * k[j];
    dk_a[j] += to_rate * (rate[j] - 1.0f);
    d[j] = d[j] * (1.0f + (rate[j] - 1.0f) * k_a[j]) + du * k_k[j];
    db[j] = kappa * db[j] + to_rate * k_a[j];
  }
  a.dk.template put<Aligned>(i, at.left, d);
  a.drate.template put<Aligned>(i, at.left, db);
}

template <class T, bool Aligned>
__global__ void __launch_bounds__(kHeadThreads) key_prepare_backward_kernel(BackwardArgs<T> a) {
  const HeadLane at(a.in.tiles);
  const RowBlock rows(a.blocks, blockIdx.x);
  const std::int64_t first = rows.first + threadIdx.x / 32 * kStripRows,
                     end = first + kStripRows < rows.end ? first + kStripRows : rows.end;
  Smem smem;
  Rows<T, Aligned> in({a.in.k, a.in.rate, a.k, a.a, a.b}, at, smem);
  if (kAhead < T >> 0) in.start(first * a.blocks.C, first < end);
  Piece<T, kHeadPiece, Aligned> k_k_in, k_a_in;
  k_k_in.load(a.in.k_k + at.column, at.left);
  k_a_in.load(a.in.k_a + at.column, at.left);
  float k_k[kHeadPiece], k_a[kHeadPiece], dk_k[kHeadPiece] = {}, dk_a[kHeadPiece] = {};
  k_k_in.get(k_k);
  k_a_in.get(k_a);
  for (std::int64_t row = first; row < end; ++row) {
    in.start((row + kAhead<T>)*a.blocks.C, row + kAhead<T> < end);
    in.next();
    backward_row<T, Aligned>(a, in, row, at, k_k, k_a, dk_k, dk_a);
  }
  float* out = a.partial + blockIdx.x * 2 * a.blocks.C;
  if (a.sum_k_k) fold_heads(at, dk_k, out);
  if (a.sum_k_a) fold_heads(at, dk_a, out + a.blocks.C);
}

bool aligned_inputs(const KeyPrepareArgs& a) { return all_aligned({&a.k, &a.rate, &a.k_k, &a.k_a}); }

}  // namespace

void key_prepare_forward(ExecContext& ctx, const KeyPrepareArgs& a, const KeyPrepareOuts& o) {
  if (ctx.dry_run) return;
  const HeadTiles tiles("key_prepare", a.k.shape.back(), a.head_size);
  const std::int64_t rows = a.k.numel() / tiles.C;
  const bool aligned = aligned_inputs(a) && all_aligned({&o.k, &o.a, &o.b});
  dim3 grid = capped_grid(rows, kHeadWarps);
  grid.y = tiles.count();
  dispatch_rows(a.k.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    const ForwardArgs<T> args{inputs<T>(a, tiles), device_ptr<T>(o.k), device_ptr<T>(o.a), device_ptr<T>(o.b),
                              rows};
    launch("key_prepare_forward_kernel", key_prepare_forward_kernel<T, Aligned>, grid, dim3(kHeadThreads), 0,
           stream_of(ctx), args);
  });
}

void key_prepare_backward(ExecContext& ctx, const KeyPrepareArgs& a, const KeyPrepareOuts&,
                          const KeyPrepareOutGrads& dout, const KeyPrepareGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowBlocks blocks(a.k.shape, kRows);
  const ColumnSums sums(ctx, blocks, 2);
  if (ctx.dry_run) return;
  const HeadTiles tiles("key_prepare", a.k.shape.back(), a.head_size);
  const bool aligned = aligned_inputs(a) && all_aligned({&dout.k, &dout.a, &dout.b, &g.k.view, &g.rate.view});
  dispatch_rows(a.k.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    const BackwardArgs<T> args{inputs<T>(a, tiles),      device_ptr<T>(dout.k),
                               device_ptr<T>(dout.a),    device_ptr<T>(dout.b),
                               target<T>(g.k),           target<T>(g.rate),
                               sums.partial(),           static_cast<bool>(g.k_k),
                               static_cast<bool>(g.k_a), blocks};
    launch("key_prepare_backward_kernel", key_prepare_backward_kernel<T, Aligned>,
           dim3(static_cast<unsigned>(blocks.count()), tiles.count()), dim3(kHeadThreads),
           Rows<T, Aligned>::kSmem, stream_of(ctx), args);
  });
  sums.finish(ctx, std::initializer_list<GradSlot>{g.k_k, g.k_a});
}

}  // namespace rt::cuda
