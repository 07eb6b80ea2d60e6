#include "cuda/ops/layer_norm.cuh"

// A row is read once: the variance is of the differences from the mean, formed after it.
namespace rt::cuda {
namespace {

using namespace layer_norm;

constexpr int kRows = 16;  // of a block

template <class T>
struct ForwardArgs {
  const T *x, *b, *weight, *bias;  // b null: nothing is added
  T *sum, *y;
  float* stats;  // (rows, 2); null when nobody wants them
  std::int64_t rows, C;
  float eps;
  int team;  // warps
};

template <class T, int P, bool Aligned>
__global__ void __launch_bounds__(kMaxTeam<Aligned> * 32) layer_norm_forward_kernel(ForwardArgs<T> a) {
  using In = Reader<T, kPiece, Aligned, 2 * P, kAhead<T>>;
  RT_SHARED(float, found, [2][kMaxTeam<Aligned>][1]);
  Smem smem;
  const Place place(a.team);
  In in(smem.take<uint4>(blockDim.x / 32 * In::kRing) + threadIdx.x / 32 * In::kRing);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kRows + place.team;
  const std::int64_t end = static_cast<std::int64_t>(blockIdx.x + 1) * kRows < a.rows
                               ? static_cast<std::int64_t>(blockIdx.x + 1) * kRows
                               : a.rows;
  const auto start = [&](std::int64_t row) {
#pragma unroll
    for (int j = 0; j < P; ++j) {
      if (row >= end || place.at(j) >= a.C) continue;
      in.start(j, a.x + row * a.C + place.at(j));
      if (a.b) in.start(P + j, a.b + row * a.C + place.at(j));
    }
    in.commit();
  };
  const std::int64_t ahead = kAhead<T> * place.teams;
  if (ahead > 0) start(first);
  Piece<T, kPiece, Aligned> weight[P], bias[P];
#pragma unroll
  for (int j = 0; j < P; ++j) {
    const std::int64_t left = a.C - place.at(j);
    if (left <= 0) {
      in.clear(j);
      in.clear(P + j);
    }
    weight[j].load(a.weight + place.at(j), left);
    bias[j].load(a.bias + place.at(j), left);
  }
  for (std::int64_t row = first; row < end; row += place.teams) {
    start(row + ahead);
    in.next();
    float x[P][kPiece], total[1] = {0}, square[1] = {0};
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const std::int64_t at = row * a.C + place.at(j), left = a.C - place.at(j);
      Piece<T, kPiece, Aligned> piece;
      in.get(j, a.x + at, left, piece);
      piece.get(x[j]);
      if (a.b) {
        float b[kPiece];
        in.get(P + j, a.b + at, left, piece);
        piece.get(b);
#pragma unroll
        for (int i = 0; i < kPiece; ++i) x[j][i] = to_float(from_float<T>(x[j][i] + b[i]));
        store_piece<Aligned>(a.sum + at, left, x[j]);
      }
#pragma unroll
      for (int i = 0; i < kPiece; ++i) total[0] += x[j][i];
    }
    team_sum(total, a.team, found[0]);
    const float mean = total[0] / static_cast<float>(a.C);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const std::int64_t left = a.C - place.at(j);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) {
        x[j][i] -= mean;
        if (Aligned ? left > 0 : left > i) square[0] += x[j][i] * x[j][i];
      }
    }
    team_sum(square, a.team, found[1]);
    const float rstd = 1.0f / sqrtf(square[0] / static_cast<float>(a.C) + a.eps);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      float w[kPiece], b[kPiece];
      weight[j].get(w);
      bias[j].get(b);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[j][i] = x[j][i] * rstd * w[i] + b[i];
      store_piece<Aligned>(a.y + row * a.C + place.at(j), a.C - place.at(j), x[j]);
    }
    if (place.column == 0 && a.stats) {
      a.stats[2 * row] = mean;
      a.stats[2 * row + 1] = rstd;
    }
  }
}

}  // namespace

void layer_norm::forward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o,
                         const TensorView& b, const TensorView& sum) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.x.shape.back(), rows = a.x.numel() / C;
  const bool aligned = C % kPiece == 0 && all_aligned({&a.x, &b, &a.weight, &a.bias, &sum, &o.y});
  const Cut cut(C, aligned);
  dispatch(
      a.x.dtype, cut, aligned,
      [&]<class T, int P, bool Aligned>(T*, std::integral_constant<int, P>, std::bool_constant<Aligned>) {
        const ForwardArgs<T> args{device_ptr<T>(a.x),
                                  device_ptr<T>(b),
                                  device_ptr<T>(a.weight),
                                  device_ptr<T>(a.bias),
                                  device_ptr<T>(sum),
                                  device_ptr<T>(o.y),
                                  o.stats ? o.stats.as<float>() : nullptr,
                                  rows,
                                  C,
                                  static_cast<float>(a.eps),
                                  cut.team};
        const std::size_t smem =
            cut.block().x / 32 * smem_bytes<uint4>(Reader<T, kPiece, Aligned, 2 * P, kAhead<T>>::kRing);
        launch("layer_norm_forward_kernel", layer_norm_forward_kernel<T, P, Aligned>,
               dim3(static_cast<unsigned>((rows + kRows - 1) / kRows)), cut.block(), smem, stream_of(ctx),
               args);
      });
}

void layer_norm_forward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o) {
  layer_norm::forward(ctx, a, o, {}, {});
}

}  // namespace rt::cuda
