#include "rt/ops/layer_norm.h"

#include "cuda/core/reduce.cuh"
#include "cuda/ops/column_sums.cuh"

// A row lies in the registers of a team of warps, in pieces of 8 a lane. It is read once: the variance is of
// the differences from the mean, formed after it.
namespace rt::cuda {
namespace {

constexpr int kPiece = 8, kForwardPieces = 4, kBackwardPieces = 2, kMaxTeam = 16, kRows = 32;
constexpr int kBlockWarps = 8;
constexpr std::int64_t kMaxWidth = std::int64_t{kMaxTeam} * 32 * kPiece * kBackwardPieces;

// Warps of a team for rows of C: a power of two.
int team_warps(std::int64_t C, int pieces) {
  RT_CHECK(C <= kMaxWidth, "layer_norm: rows of {}; CUDA takes at most {}", C, kMaxWidth);
  int warps = 1;
  while (warps * 32 * kPiece * pieces < C) warps *= 2;
  return warps;
}

// Sums over the threads of a team of `warps` warps; the teams of a block call together. `found` is for this
// call; it may be used again after the next call with another one.
template <int K>
__device__ __forceinline__ void team_sum(float (&x)[K], int warps, float (*found)[K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) x[k] = warp_sum(x[k]);
  if (warps == 1) return;  // the whole block
  const int warp = static_cast<int>(threadIdx.x) / 32, first = warp / warps * warps;
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int k = 0; k < K; ++k) found[warp][k] = x[k];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    x[k] = found[first][k];
    for (int w = 1; w < warps; ++w) x[k] += found[first + w][k];
  }
}

template <class T>
struct ForwardArgs {
  const T *x, *weight, *bias;
  T* y;
  float* stats;  // (rows, 2); null when nobody wants them
  std::int64_t rows, C;
  float eps;
  int team;  // warps
};

template <class T, bool Aligned>
__global__ void layer_norm_forward_kernel(ForwardArgs<T> a) {
  RT_SHARED(float, found, [2][kMaxTeam][1]);
  const int threads = a.team * 32, teams = static_cast<int>(blockDim.x) / threads;
  const int team = static_cast<int>(threadIdx.x) / threads, thread = static_cast<int>(threadIdx.x) % threads;
  const std::int64_t column = thread * kPiece, stride = static_cast<std::int64_t>(threads) * kPiece;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * teams;
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * teams; first < a.rows; first += step) {
    const std::int64_t row = first + team, C = row < a.rows ? a.C : 0, base = row * a.C;
    Piece<T, kPiece, Aligned> in[kForwardPieces];
    float x[kForwardPieces][kPiece], total[1] = {0}, square[1] = {0};
#pragma unroll
    for (int j = 0; j < kForwardPieces; ++j)
      in[j].load(a.x + base + column + j * stride, C - column - j * stride);
#pragma unroll
    for (int j = 0; j < kForwardPieces; ++j) {
      in[j].get(x[j]);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) total[0] += x[j][i];
    }
    team_sum(total, a.team, found[0]);
    const float mean = total[0] / static_cast<float>(a.C);
#pragma unroll
    for (int j = 0; j < kForwardPieces; ++j) {
      const std::int64_t left = C - column - j * stride;
#pragma unroll
      for (int i = 0; i < kPiece; ++i) {
        x[j][i] -= mean;
        if (Aligned ? left > 0 : left > i) square[0] += x[j][i] * x[j][i];
      }
    }
    team_sum(square, a.team, found[1]);
    const float rstd = 1.0f / sqrtf(square[0] / static_cast<float>(a.C) + a.eps);
#pragma unroll
    for (int j = 0; j < kForwardPieces; ++j) {
      const std::int64_t at = column + j * stride, left = C - at;
      Piece<T, kPiece, Aligned> weight, bias;
      weight.load(a.weight + at, left);
      bias.load(a.bias + at, left);
      float w[kPiece], b[kPiece];
      weight.get(w);
      bias.get(b);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[j][i] = x[j][i] * rstd * w[i] + b[i];
      store_piece<Aligned>(a.y + base + at, left, x[j]);
    }
    if (thread == 0 && a.stats && row < a.rows) {
      a.stats[2 * row] = mean;
      a.stats[2 * row + 1] = rstd;
    }
  }
}

template <class T>
struct BackwardArgs {
  const T *x, *weight, *dy;
  const float* stats;
  Target<T> dx;
  float* partial;  // (blocks, 2, C): dweight, dbias
  RowBlocks blocks;
  int team;
};

// One row of a team: the thread's share of dweight and dbias is added to its sums.
template <class T, bool Aligned>
__device__ __forceinline__ void backward_row(const BackwardArgs<T>& a, std::int64_t row, bool there,
                                             std::int64_t column, std::int64_t stride,
                                             const Piece<T, kPiece, Aligned> (&weight)[kBackwardPieces],
                                             float (&dw)[kBackwardPieces][kPiece],
                                             float (&db)[kBackwardPieces][kPiece], float (*found)[2]) {
  const std::int64_t C = there ? a.blocks.C : 0, base = row * a.blocks.C;
  Piece<T, kPiece, Aligned> x_in[kBackwardPieces], dy_in[kBackwardPieces];
#pragma unroll
  for (int j = 0; j < kBackwardPieces; ++j) {
    x_in[j].load(a.x + base + column + j * stride, C - column - j * stride);
    dy_in[j].load(a.dy + base + column + j * stride, C - column - j * stride);
  }
  const float mean = there ? a.stats[2 * row] : 0.0f, rstd = there ? a.stats[2 * row + 1] : 0.0f;
  float xhat[kBackwardPieces][kPiece], g[kBackwardPieces][kPiece];
  float sums[2] = {0, 0};  // of dxhat and dxhat * xhat
#pragma unroll
  for (int j = 0; j < kBackwardPieces; ++j) {
    float w[kPiece];
    x_in[j].get(xhat[j]);
    dy_in[j].get(g[j]);
    weight[j].get(w);
#pragma unroll
    for (int i = 0; i < kPiece; ++i) {
      xhat[j][i] = (xhat[j][i] - mean) * rstd;  // where there is no x, dy is zero
      dw[j][i] += g[j][i] * xhat[j][i];
      db[j][i] += g[j][i];
      g[j][i] *= w[i];
      sums[0] += g[j][i];
      sums[1] += g[j][i] * xhat[j][i];
    }
  }
  team_sum(sums, a.team, found);
  const float mean_sum = sums[0] / static_cast<float>(a.blocks.C),
              mean_dot = sums[1] / static_cast<float>(a.blocks.C);
#pragma unroll
  for (int j = 0; j < kBackwardPieces; ++j) {
#pragma unroll
    for (int i = 0; i < kPiece; ++i) g[j][i] = (g[j][i] - mean_sum - xhat[j][i] * mean_dot) * rstd;
    const std::int64_t at = column + j * stride;
    a.dx.template put<Aligned>(base + at, C - at, g[j]);
  }
}

// A block takes kRows rows of a sequence, its teams a strip of them each.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kMaxTeam * 32) layer_norm_backward_kernel(BackwardArgs<T> a) {
  RT_SHARED(float, found, [2][kMaxTeam][2]);
  RT_SHARED(float, sums, [kBlockWarps * 32 * kPiece * kBackwardPieces]);
  const int threads = a.team * 32, teams = static_cast<int>(blockDim.x) / threads;
  const int team = static_cast<int>(threadIdx.x) / threads, thread = static_cast<int>(threadIdx.x) % threads;
  const std::int64_t column = thread * kPiece, stride = static_cast<std::int64_t>(threads) * kPiece,
                     C = a.blocks.C;
  const RowBlock rows(a.blocks, blockIdx.x);
  Piece<T, kPiece, Aligned> weight[kBackwardPieces];
  float dw[kBackwardPieces][kPiece] = {}, db[kBackwardPieces][kPiece] = {};
#pragma unroll
  for (int j = 0; j < kBackwardPieces; ++j)
    weight[j].load(a.weight + column + j * stride, C - column - j * stride);
  const int strip = kRows / teams;
  for (int i = 0; i < strip; ++i) {
    const std::int64_t row = rows.first + team * strip + i;
    backward_row<T, Aligned>(a, row, row < rows.end, column, stride, weight, dw, db, found[i % 2]);
  }
  float* out = a.partial + blockIdx.x * 2 * C;
  if (teams == 1) {
#pragma unroll
    for (int j = 0; j < kBackwardPieces; ++j) {
      const std::int64_t at = column + j * stride;
      store_piece<false>(out + at, C - at, dw[j]);
      store_piece<false>(out + C + at, C - at, db[j]);
    }
    return;
  }
  const int tile = threads * kPiece * kBackwardPieces;
#pragma unroll
  for (int which = 0; which < 2; ++which) {
#pragma unroll
    for (int j = 0; j < kBackwardPieces; ++j) {
      store8(sums + team * tile + column + j * stride, which == 0 ? dw[j] : db[j]);
    }
    fold_strips(sums, teams, tile, static_cast<int>(C), out + which * C);
  }
}

}  // namespace

void layer_norm_forward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.x.shape.back(), rows = a.x.numel() / C;
  const int team = team_warps(C, kForwardPieces), teams = std::max(1, kBlockWarps / 2 / team);
  const bool aligned = C % kPiece == 0 && all_aligned({&a.x, &a.weight, &a.bias, &o.y});
  dispatch_rows(a.x.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    const ForwardArgs<T> args{device_ptr<T>(a.x),
                              device_ptr<T>(a.weight),
                              device_ptr<T>(a.bias),
                              device_ptr<T>(o.y),
                              o.stats ? o.stats.as<float>() : nullptr,
                              rows,
                              C,
                              static_cast<float>(a.eps),
                              team};
    launch("layer_norm_forward_kernel", layer_norm_forward_kernel<T, Aligned>, capped_grid(rows, teams),
           dim3(static_cast<unsigned>(teams * team * 32)), 0, stream_of(ctx), args);
  });
}

void layer_norm_backward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o,
                         const LayerNormOutGrads& dout, const LayerNormGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowBlocks blocks(a.x.shape, kRows);
  const ColumnSums sums(ctx, blocks, 2);
  if (ctx.dry_run) return;
  const int team = team_warps(blocks.C, kBackwardPieces), teams = std::max(1, kBlockWarps / team);
  const bool aligned = blocks.C % kPiece == 0 && all_aligned({&a.x, &a.weight, &dout.y, &g.x.view});
  dispatch_rows(a.x.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    const BackwardArgs<T> args{device_ptr<T>(a.x),
                               device_ptr<T>(a.weight),
                               device_ptr<T>(dout.y),
                               o.stats.as<float>(),
                               target<T>(g.x),
                               sums.partial(),
                               blocks,
                               team};
    launch("layer_norm_backward_kernel", layer_norm_backward_kernel<T, Aligned>,
           dim3(static_cast<unsigned>(blocks.count())), dim3(static_cast<unsigned>(teams * team * 32)), 0,
           stream_of(ctx), args);
  });
  sums.finish(ctx, std::initializer_list<GradSlot>{g.weight, g.bias});
}

}  // namespace rt::cuda
