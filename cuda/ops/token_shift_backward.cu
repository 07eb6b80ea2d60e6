#include "cuda/ops/ahead.cuh"
#include "cuda/ops/token_shift.cuh"

namespace rt::cuda {
namespace {

using namespace token_shift;

// Long strips: each leaves sums in memory and begins by reading the row behind it.
constexpr int kStripRows = 32;
// 12 warps with so many rows of 7 tensors under way each: 86 KB on a multiprocessor.
constexpr int kRowsAhead = 2;

template <class T>
struct BackwardArgs {
  Inputs<T> in;
  const T* dy[kMaxTokenShifts];  // null: zeros
  const T* dstate;               // null: zeros
  Target<T> dx, dshift_state;
  float* partial;  // (blocks, count, C): the dmix
};

// The rows of a strip as a lane reads them, the last one first.
template <class T, int Max, bool Aligned>
class Rows {
 public:
  using In = Reader<T, kWidth<T, Aligned>, Aligned, Max + 1, kRowsAhead>;
  using P = Piece<T, kWidth<T, Aligned>, Aligned>;

  __device__ __forceinline__ Rows(const BackwardArgs<T>& a, const RowBlock& rows, const Strip& at,
                                  uint4* ring_of_warp)
      : a_(a), rows_(rows), at_(at), in_(ring_of_warp), row_(at.end) {
#pragma unroll
    for (int k = 1; k <= kRowsAhead; ++k) start(at.end - k);
  }

  __device__ __forceinline__ void next() {
    start(--row_ - kRowsAhead);
    in_.next();
  }
  __device__ __forceinline__ bool has(int n) const { return !kAny<Max> || (n < a_.in.count && a_.dy[n]); }
  __device__ __forceinline__ void dy(int n, P& out) const {
    in_.get(n, a_.dy[n] + row_ * a_.in.blocks.C + at_.column, at_.left, out);
  }
  // False: zeros.
  __device__ __forceinline__ bool before(P& x) const {
    const T* const from = before_row(a_.in, rows_, at_, row_);
    if (from) in_.get(Max, from, at_.left, x);
    return from != nullptr;
  }

 private:
  __device__ __forceinline__ void start(std::int64_t row) {
    if (row >= at_.first) {
      const std::int64_t i = row * a_.in.blocks.C + at_.column;
#pragma unroll
      for (int n = 0; n < Max; ++n) {
        if (has(n)) in_.start(n, a_.dy[n] + i);
      }
      const T* const from = before_row(a_.in, rows_, at_, row);
      if (from) in_.start(Max, from);
    }
    in_.commit();
  }

  const BackwardArgs<T>& a_;
  const RowBlock& rows_;
  const Strip& at_;
  In in_;
  std::int64_t row_;
};

// A lane's gradients while its strip is walked backwards in time.
template <class T, int Max, bool Aligned>
struct Walk {
  static constexpr int N = kWidth<T, Aligned>;
  Piece<T, N, Aligned> here;
  float mix[Max][N];
  float dmix[Max][N] = {};
  float carry[N] = {};  // what reaches the row from behind it

  // Through the row after the strip, or the state where the sequence ends.
  __device__ __forceinline__ void start(const BackwardArgs<T>& a, const RowBlock& rows, const Strip& at,
                                        const Rows<T, Max, Aligned>& in) {
    const std::int64_t C = a.in.blocks.C;
    Piece<T, N, Aligned> m[Max], dy[Max];
#pragma unroll
    for (int n = 0; n < Max; ++n) m[n].load(a.in.mix[n] + at.column, a.in.template has<Max>(n) ? at.left : 0);
    here.load(a.in.x + (at.end - 1) * C + at.column, at.left);
#pragma unroll
    for (int n = 0; n < Max; ++n) m[n].get(mix[n]);
    if (at.end == rows.finish) {
      dy[0].load(a.dstate + at.sequence * C + at.column, a.dstate ? at.left : 0);
      dy[0].get(carry);
    } else if (!a.in.is_reset(at.end)) {
#pragma unroll
      for (int n = 0; n < Max; ++n) dy[n].load(a.dy[n] + at.end * C + at.column, in.has(n) ? at.left : 0);
#pragma unroll
      for (int n = 0; n < Max; ++n) {
        float d[N];
        dy[n].get(d);
#pragma unroll
        for (int i = 0; i < N; ++i) carry[i] += d[i] * mix[n][i];
      }
    }
  }

  // Through the row where `in` is; dx is left for the caller to write.
  __device__ __forceinline__ void pass(const Rows<T, Max, Aligned>& in, bool reset, float (&dx)[N]) {
    Piece<T, N, Aligned> before = here;
    const bool there = in.before(before);
    float shift[N], x[N], passed[N] = {};
    before.get(shift);
    here.get(x);
    here = before;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      shift[i] = (reset || !there ? 0.0f : shift[i]) - x[i];
      dx[i] = 0;
    }
#pragma unroll
    for (int n = 0; n < Max; ++n) {
      if (!in.has(n)) continue;
      Piece<T, N, Aligned> dy;
      float d[N];
      in.dy(n, dy);
      dy.get(d);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        dx[i] += d[i];
        passed[i] += d[i] * mix[n][i];
        dmix[n][i] += d[i] * shift[i];
      }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
      dx[i] = carry[i] + (dx[i] - passed[i]);
      carry[i] = reset ? 0.0f : passed[i];
    }
  }
};

template <class T, int Max, bool Aligned>
__global__ void __launch_bounds__(kThreads, kAny<Max> ? 2 : 3)
    token_shift_backward_kernel(BackwardArgs<T> a) {
  constexpr int N = kWidth<T, Aligned>, kTile = 32 * N, kRing = Rows<T, Max, Aligned>::In::kRing;
  Smem smem;
  uint4* const ring = smem.take<uint4>(kStrips * kRing);
  float* const sums = smem.take<float>(kStrips * kTile);
  const std::int64_t C = a.in.blocks.C;
  const RowBlock rows(a.in.blocks, blockIdx.x);
  const Strip at(a.in.blocks, rows, N);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  Walk<T, Max, Aligned> walk;
  if (at.first < at.end && at.left > 0) {
    Rows<T, Max, Aligned> in(a, rows, at, ring + warp * kRing);
    bool reset = a.in.is_reset(at.end - 1);
    walk.start(a, rows, at, in);
    for (std::int64_t row = at.end; row-- > at.first;) {
      const bool next_reset = row > at.first && a.in.is_reset(row - 1);
      in.next();
      float dx[N];
      walk.pass(in, reset, dx);
      a.dx.template put<Aligned>(row * C + at.column, at.left, dx);
      reset = next_reset;
    }
    if (at.first == rows.begin) {
      a.dshift_state.template put<Aligned>(at.sequence * C + at.column, at.left, walk.carry);
    }
  }
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kTile;
  const int columns = static_cast<int>(C - first < kTile ? C - first : kTile);
#pragma unroll
  for (int n = 0; n < Max; ++n) {
    if (!a.in.template has<Max>(n)) break;
    store_vec(sums + warp * kTile + threadIdx.x % 32 * N, walk.dmix[n]);
    fold_strips(sums, kStrips, kTile, columns, a.partial + (blockIdx.x * a.in.count + n) * C + first);
  }
}

}  // namespace

void token_shift_backward(ExecContext& ctx, const TokenShiftArgs& a, const TokenShiftOuts&,
                          const TokenShiftOutGrads& dout, const TokenShiftGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowBlocks blocks(a.x.shape, kStrips * kStripRows);
  const ColumnSums sums(ctx, blocks, static_cast<std::int64_t>(a.count));
  if (ctx.dry_run) return;
  bool aligned = aligned_inputs(a) && all_aligned({&dout.state, &g.x.view, &g.shift_state.view});
  bool all = true;
  for (std::size_t n = 0; n < a.count; ++n) {
    aligned = aligned && all_aligned({&dout.y[n]});
    all = all && dout.y[n];
  }
  dispatch_rows(a.x.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    dispatch_count(a.count, all, [&]<int Max>(std::integral_constant<int, Max>) {
      BackwardArgs<T> args{inputs<T>(a, blocks),      {},
                           device_ptr<T>(dout.state), target<T>(g.x),
                           target<T>(g.shift_state),  sums.partial()};
      for (std::size_t n = 0; n < a.count; ++n) args.dy[n] = device_ptr<T>(dout.y[n]);
      constexpr std::size_t kSmem = smem_bytes<uint4>(kStrips * Rows<T, Max, Aligned>::In::kRing) +
                                    smem_bytes<float>(kThreads * kWidth<T, Aligned>);
      launch("token_shift_backward_kernel", token_shift_backward_kernel<T, Max, Aligned>,
             grid_of<T, Aligned>(blocks), dim3(kThreads), kSmem, stream_of(ctx), args);
    });
  });
  sums.finish(ctx, g.mix);
}

}  // namespace rt::cuda
