#include "cuda/ops/layer_norm.cuh"

namespace rt::cuda {
namespace {

using namespace layer_norm;

constexpr int kRows = 32;  // of a block

template <class T>
struct BackwardArgs {
  const T *x, *weight, *dy;
  const T* more;  // what is added to dx; null: nothing
  const float* stats;
  Target<T> dx, also;  // dx skipped: so is `also`
  float* partial;      // (blocks, 2, C): dweight, dbias
  RowBlocks blocks;
  int team;  // warps
};

struct Stats {
  float mean, rstd;
  __device__ __forceinline__ void load(const float* stats, std::int64_t row) {
    mean = stats[2 * row];
    rstd = stats[2 * row + 1];
  }
};

// The rows of a team as a thread reads them: x, dy and what is added to dx.
template <class T, int P, bool Aligned>
class Rows {
 public:
  using In = Reader<T, kPiece, Aligned, 3 * P, kAhead<T>>;
  // Of a thread: its part of the ring, or later of the sums.
  static constexpr std::size_t kShared = std::max(In::kRing / 32 * sizeof(uint4), P* kPiece * sizeof(float));

  __device__ __forceinline__ Rows(const BackwardArgs<T>& a, const Place& place, uint4* ring_of_warp)
      : in_(ring_of_warp) {
#pragma unroll
    for (int j = 0; j < P; ++j) {
      if (place.at(j) < a.blocks.C) continue;
#pragma unroll
      for (int tensor = 0; tensor < 3; ++tensor) in_.clear(tensor * P + j);
    }
  }
  __device__ __forceinline__ void start(const BackwardArgs<T>& a, const Place& place, std::int64_t row,
                                        std::int64_t end) {
#pragma unroll
    for (int j = 0; j < P; ++j) {
      if (row >= end || place.at(j) >= a.blocks.C) continue;
      const std::int64_t i = row * a.blocks.C + place.at(j);
      in_.start(j, a.x + i);
      in_.start(P + j, a.dy + i);
      if (a.more) in_.start(2 * P + j, a.more + i);
    }
    in_.commit();
  }
  __device__ __forceinline__ void next() { in_.next(); }
  __device__ __forceinline__ void get(int tensor, int j, const T* row, const Place& place, std::int64_t C,
                                      float (&v)[kPiece]) const {
    Piece<T, kPiece, Aligned> piece;
    in_.get(tensor * P + j, row + place.at(j), C - place.at(j), piece);
    piece.get(v);
  }

 private:
  In in_;
};

// A team's share of dweight and dbias, for its rows of the block.
template <class T, int P, bool Aligned>
struct Sums {
  float dw[P][kPiece] = {}, db[P][kPiece] = {};
  Piece<T, kPiece, Aligned> weight[P];

  // One row. What is read of it is read twice, so that it need not be kept in registers.
  __device__ __forceinline__ void add_row(const BackwardArgs<T>& a, const Place& place,
                                          const Rows<T, P, Aligned>& in, const Stats& s, std::int64_t row,
                                          float (*found)[2]) {
    const std::int64_t C = a.blocks.C, base = row * C;
    float sums[2] = {0, 0};  // of dxhat and of dxhat * (x - mean)
#pragma unroll
    for (int j = 0; j < P; ++j) {
      float u[kPiece], g[kPiece], w[kPiece];
      in.get(0, j, a.x + base, place, C, u);
      in.get(1, j, a.dy + base, place, C, g);
      weight[j].get(w);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) {
        const float product = g[i] * (u[i] - s.mean);  // where there is no x, dy is zero
        dw[j][i] += product * s.rstd;
        db[j][i] += g[i];
        sums[0] += g[i] * w[i];
        sums[1] += product * w[i];
      }
    }
    team_sum(sums, a.team, found);
    if (!a.dx.data) return;
    // dx = (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)) * rstd
    const float shift = sums[0] / static_cast<float>(C) * s.rstd;
    const float slope = sums[1] / static_cast<float>(C) * s.rstd * s.rstd * s.rstd;
#pragma unroll
    for (int j = 0; j < P; ++j) {
      float u[kPiece], g[kPiece], w[kPiece], dx[kPiece] = {};
      if (a.more) in.get(2, j, a.more + base, place, C, dx);
      in.get(0, j, a.x + base, place, C, u);
      in.get(1, j, a.dy + base, place, C, g);
      weight[j].get(w);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) dx[i] += g[i] * w[i] * s.rstd - shift - (u[i] - s.mean) * slope;
#pragma unroll
      for (int i = 0; i < kPiece; ++i) g[i] = dx[i];
      a.dx.template put<Aligned>(base + place.at(j), C - place.at(j), g);
      a.also.template put<Aligned>(base + place.at(j), C - place.at(j), dx);
    }
  }
};

// Takes more than the 128 registers with which 16 warps fit a multiprocessor.
template <class T, bool Aligned>
constexpr bool kWide = !Aligned || sizeof(T) == 4;

template <class T, int P, bool Aligned>
__global__ void __launch_bounds__(kMaxTeam<Aligned> * 32, P == 4 || kWide<T, Aligned> ? 1 : 2)
    layer_norm_backward_kernel(BackwardArgs<T> a) {
  using In = typename Rows<T, P, Aligned>::In;
  RT_SHARED(float, found, [2][kMaxTeam<Aligned>][2]);
  Smem smem;
  uint4* const ring = smem.take<uint4>(blockDim.x * Rows<T, P, Aligned>::kShared / sizeof(uint4));
  const std::int64_t C = a.blocks.C;
  const Place place(a.team);
  const RowBlock rows(a.blocks, blockIdx.x);
  Rows<T, P, Aligned> in(a, place, ring + threadIdx.x / 32 * In::kRing);
  std::int64_t row = rows.first + place.team;
  const std::int64_t ahead = kAhead<T> * place.teams;
  if (ahead > 0) in.start(a, place, row, rows.end);
  Sums<T, P, Aligned> sums;
  Stats stats{}, next{};
  if (row < rows.end) next.load(a.stats, row);
#pragma unroll
  for (int j = 0; j < P; ++j) sums.weight[j].load(a.weight + place.at(j), C - place.at(j));
  for (int i = 0; row < rows.end; row += place.teams, ++i) {
    stats = next;
    in.start(a, place, row + ahead, rows.end);
    if (row + place.teams < rows.end) next.load(a.stats, row + place.teams);
    in.next();
    sums.add_row(a, place, in, stats, row, found[i % 2]);
  }
  float* const shared = reinterpret_cast<float*>(ring);
  __syncthreads();  // nobody reads rows any more
  float* const out = a.partial + blockIdx.x * 2 * C;
#pragma unroll
  for (int which = 0; which < 2; ++which) {
#pragma unroll
    for (int j = 0; j < P; ++j) {
      float* const mine = shared + place.team * a.team * 32 * kPiece * P + place.at(j);
      store8(mine, which == 0 ? sums.dw[j] : sums.db[j]);
    }
    fold_strips(shared, place.teams, a.team * 32 * kPiece * P, static_cast<int>(C), out + which * C);
  }
}

}  // namespace

void layer_norm::backward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o,
                          const TensorView& dy, const TensorView& more, const GradSlot& first,
                          const GradSlot& second, const GradSlot& weight, const GradSlot& bias) {
  const ArenaScope scope(ctx.scratch);
  const RowBlocks blocks(a.x.shape, kRows);
  const ColumnSums sums(ctx, blocks, 2);
  if (ctx.dry_run) return;
  const bool aligned =
      blocks.C % kPiece == 0 && all_aligned({&a.x, &a.weight, &dy, &more, &first.view, &second.view});
  const Cut cut(blocks.C, aligned);
  dispatch(
      a.x.dtype, cut, aligned,
      [&]<class T, int P, bool Aligned>(T*, std::integral_constant<int, P>, std::bool_constant<Aligned>) {
        const BackwardArgs<T> args{device_ptr<T>(a.x),
                                   device_ptr<T>(a.weight),
                                   device_ptr<T>(dy),
                                   device_ptr<T>(more),
                                   o.stats.as<float>(),
                                   target<T>(first ? first : second),
                                   first ? target<T>(second) : Target<T>{},
                                   sums.partial(),
                                   blocks,
                                   cut.team};
        const std::size_t smem = cut.block().x * Rows<T, P, Aligned>::kShared;
        launch("layer_norm_backward_kernel", layer_norm_backward_kernel<T, P, Aligned>,
               dim3(static_cast<unsigned>(blocks.count())), cut.block(), smem, stream_of(ctx), args);
      });
  sums.finish(ctx, std::initializer_list<GradSlot>{weight, bias});
}

// What dx is added to is read ahead with the rest.
void layer_norm_backward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o,
                         const LayerNormOutGrads& dout, const LayerNormGrads& g) {
  const bool adds = g.x && g.x.mode == GradMode::Accumulate;
  const GradSlot dx = g.x ? GradSlot{g.x.view, GradMode::Overwrite} : GradSlot{};
  layer_norm::backward(ctx, a, o, dout.y, adds ? g.x.view : TensorView{}, dx, {}, g.weight, g.bias);
}

}  // namespace rt::cuda
