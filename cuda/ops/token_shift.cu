#include "rt/ops/token_shift.h"

#include "cuda/ops/column_sums.cuh"

// Channels do not see each other. A warp walks a strip of rows of one sequence, each lane with one piece of
// the width, and keeps in registers what goes from one row to its neighbour.
namespace rt::cuda {
namespace {

constexpr int kStrips = 4, kStripRows = 16, kRows = kStrips * kStripRows, kThreads = kStrips * 32;

// 16 bytes where they can be read at once; narrow otherwise, for want of registers.
template <class T, bool Aligned>
constexpr int kWidth = Aligned ? 16 / static_cast<int>(sizeof(T)) : 2;

// Blocks that a multiprocessor is to hold at least: below about 12 warps too few loads are under way.
template <int Max>
constexpr int kBlocks = Max > 6 ? 2 : 3;

template <class T>
struct Inputs {
  const T* x;
  const T* mix[kMaxTokenShifts];
  const T* shift_state;       // null: zeros
  const std::uint8_t* reset;  // null: none
  RowBlocks blocks;
  int count;

  __device__ bool is_reset(std::int64_t row) const { return reset && reset[row] != 0; }
};

template <class T>
Inputs<T> inputs(const TokenShiftArgs& a, const RowBlocks& blocks) {
  Inputs<T> in{device_ptr<T>(a.x),
               {},
               device_ptr<T>(a.shift_state),
               a.reset ? a.reset.as<std::uint8_t>() : nullptr,
               blocks,
               static_cast<int>(a.count)};
  for (std::size_t n = 0; n < a.count; ++n) in.mix[n] = device_ptr<T>(a.mix[n]);
  return in;
}

// A warp's rows [first, end) and a lane's channels.
struct Strip {
  std::int64_t first, end, column, left, sequence;
  __device__ Strip(const RowBlocks& blocks, const RowBlock& rows, int width) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    first = rows.first + warp * kStripRows;
    end = first + kStripRows < rows.end ? first + kStripRows : rows.end;
    column = (static_cast<std::int64_t>(blockIdx.y) * 32 + lane) * width;
    left = blocks.C - column;
    sequence = rows.begin / blocks.T;
  }
};

// What lies before `row`: the row above, or the state.
template <class T, int N, bool Aligned>
__device__ __forceinline__ void load_before(const Inputs<T>& in, const RowBlock& rows, const Strip& at,
                                            std::int64_t row, Piece<T, N, Aligned>& before) {
  if (row > rows.begin) {
    before.load(in.x + (row - 1) * in.blocks.C + at.column, at.left);
  } else {
    before.load(in.shift_state + at.sequence * in.blocks.C + at.column, in.shift_state ? at.left : 0);
  }
}

template <class T>
struct ForwardArgs {
  Inputs<T> in;
  T* y[kMaxTokenShifts];
  T* state;  // (B, C); may be shift_state when T is 1: then one lane reads and writes an element
};

template <class T, int Max, bool Aligned>
__global__ void __launch_bounds__(kThreads, kBlocks<Max>) token_shift_forward_kernel(ForwardArgs<T> a) {
  constexpr int N = kWidth<T, Aligned>;
  const Inputs<T>& in = a.in;
  const RowBlock rows(in.blocks, blockIdx.x);
  const Strip at(in.blocks, rows, N);
  if (at.first >= at.end) return;
  const std::int64_t C = in.blocks.C;
  Piece<T, N, Aligned> mix[Max], before, here;
#pragma unroll
  for (int n = 0; n < Max; ++n) {
    if (n < in.count) mix[n].load(in.mix[n] + at.column, at.left);
  }
  load_before(in, rows, at, at.first, before);
#pragma unroll 2
  for (std::int64_t row = at.first; row < at.end; ++row) {
    here.load(in.x + row * C + at.column, at.left);
    const bool reset = in.is_reset(row);
    float x[N], shift[N];
    here.get(x);
    before.get(shift);
#pragma unroll
    for (int i = 0; i < N; ++i) shift[i] = (reset ? 0.0f : shift[i]) - x[i];
#pragma unroll
    for (int n = 0; n < Max; ++n) {
      if (n >= in.count) break;
      float y[N];
      mix[n].get(y);
#pragma unroll
      for (int i = 0; i < N; ++i) y[i] = x[i] + shift[i] * y[i];
      store_piece<Aligned>(a.y[n] + row * C + at.column, at.left, y);
    }
    before = here;
  }
  if (at.end != rows.finish) return;
  float last[N];
  before.get(last);
  store_piece<Aligned>(a.state + at.sequence * C + at.column, at.left, last);
}

template <class T>
struct BackwardArgs {
  Inputs<T> in;
  const T* dy[kMaxTokenShifts];  // null: zeros
  const T* dstate;               // null: zeros
  Target<T> dx, dshift_state;
  float* partial;  // (blocks, count, C): the dmix
};

// A lane's gradients while its strip is walked backwards in time.
template <class T, int Max, bool Aligned>
struct Walk {
  static constexpr int N = kWidth<T, Aligned>;
  Piece<T, N, Aligned> dy[Max], here;
  float dmix[Max][N] = {};
  float carry[N] = {};  // what reaches the row from behind it

  __device__ __forceinline__ void load_dy(const BackwardArgs<T>& a, const Strip& at, std::int64_t row) {
#pragma unroll
    for (int n = 0; n < Max; ++n) {
      if (n < a.in.count) dy[n].load(a.dy[n] + row * a.in.blocks.C + at.column, a.dy[n] ? at.left : 0);
    }
  }

  // From the cache every time: there are not the registers to keep all.
  __device__ __forceinline__ void get_mix(const BackwardArgs<T>& a, const Strip& at, int n,
                                          float (&m)[N]) const {
    Piece<T, N, Aligned> in;
    in.load(a.in.mix[n] + at.column, at.left);
    in.get(m);
  }

  // Through the row after the strip, or the state where the sequence ends.
  __device__ __forceinline__ void start(const BackwardArgs<T>& a, const RowBlock& rows, const Strip& at) {
    const std::int64_t C = a.in.blocks.C;
    here.load(a.in.x + (at.end - 1) * C + at.column, at.left);
    if (at.end == rows.finish) {
      dy[0].load(a.dstate + at.sequence * C + at.column, a.dstate ? at.left : 0);
      dy[0].get(carry);
    } else if (!a.in.is_reset(at.end)) {
      load_dy(a, at, at.end);
#pragma unroll
      for (int n = 0; n < Max; ++n) {
        if (n >= a.in.count) break;
        float d[N], m[N];
        dy[n].get(d);
        get_mix(a, at, n, m);
#pragma unroll
        for (int i = 0; i < N; ++i) carry[i] += d[i] * m[i];
      }
    }
  }

  __device__ __forceinline__ void row(const BackwardArgs<T>& a, const RowBlock& rows, const Strip& at,
                                      std::int64_t row) {
    Piece<T, N, Aligned> before;
    load_dy(a, at, row);
    load_before(a.in, rows, at, row, before);
    const bool reset = a.in.is_reset(row);
    float shift[N], x[N], passed[N] = {};
    before.get(shift);
    here.get(x);
#pragma unroll
    for (int i = 0; i < N; ++i) shift[i] = (reset ? 0.0f : shift[i]) - x[i];
#pragma unroll
    for (int n = 0; n < Max; ++n) {
      if (n >= a.in.count) break;
      float d[N], m[N];
      dy[n].get(d);
      get_mix(a, at, n, m);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const float part = d[i] * m[i];
        passed[i] += part;
        carry[i] += d[i] - part;
        dmix[n][i] += d[i] * shift[i];
      }
    }
    a.dx.template put<Aligned>(row * a.in.blocks.C + at.column, at.left, carry);
#pragma unroll
    for (int i = 0; i < N; ++i) carry[i] = reset ? 0.0f : passed[i];
    here = before;
  }
};

template <class T, int Max, bool Aligned>
__global__ void __launch_bounds__(kThreads, kBlocks<Max>) token_shift_backward_kernel(BackwardArgs<T> a) {
  constexpr int N = kWidth<T, Aligned>, kTile = 32 * N;
  RT_SHARED(float, sums, [kStrips][kTile]);
  const std::int64_t C = a.in.blocks.C;
  const RowBlock rows(a.in.blocks, blockIdx.x);
  const Strip at(a.in.blocks, rows, N);
  Walk<T, Max, Aligned> walk;
  if (at.first < at.end) {
    walk.start(a, rows, at);
    for (std::int64_t row = at.end; row-- > at.first;) walk.row(a, rows, at, row);
    if (at.first == rows.begin) {
      a.dshift_state.template put<Aligned>(at.sequence * C + at.column, at.left, walk.carry);
    }
  }
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kTile;
  const int columns = static_cast<int>(C - first < kTile ? C - first : kTile);
  float* mine = &sums[threadIdx.x / 32][threadIdx.x % 32 * N];
#pragma unroll
  for (int n = 0; n < Max; ++n) {
    if (n >= a.in.count) break;
    store_vec(mine, walk.dmix[n]);
    fold_strips(&sums[0][0], kStrips, kTile, columns, a.partial + (blockIdx.x * a.in.count + n) * C + first);
  }
}

// Calls g(std::integral_constant<int, Max>{}) with room for `count` mixes: what channel mixing (1) and the
// time mixing of RWKV-7 (6) use, or anything.
template <class G>
void dispatch_count(std::size_t count, const G& g) {
  if (count == 1) return g(std::integral_constant<int, 1>{});
  if (count <= 6) return g(std::integral_constant<int, 6>{});
  g(std::integral_constant<int, static_cast<int>(kMaxTokenShifts)>{});
}

template <class T, bool Aligned>
dim3 grid_of(const RowBlocks& blocks) {
  constexpr int kTile = 32 * kWidth<T, Aligned>;
  return dim3(static_cast<unsigned>(blocks.count()), static_cast<unsigned>((blocks.C + kTile - 1) / kTile));
}

bool aligned_inputs(const TokenShiftArgs& a) {
  bool aligned = a.x.shape[2] % 8 == 0 && all_aligned({&a.x, &a.shift_state});
  for (std::size_t n = 0; n < a.count; ++n) aligned = aligned && all_aligned({&a.mix[n]});
  return aligned;
}

}  // namespace

void token_shift_forward(ExecContext& ctx, const TokenShiftArgs& a, const TokenShiftOuts& o) {
  if (ctx.dry_run) return;
  const RowBlocks blocks(a.x.shape, kRows);
  bool aligned = aligned_inputs(a) && all_aligned({&o.state});
  for (std::size_t n = 0; n < a.count; ++n) aligned = aligned && all_aligned({&o.y[n]});
  dispatch_rows(a.x.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    dispatch_count(a.count, [&]<int Max>(std::integral_constant<int, Max>) {
      ForwardArgs<T> args{inputs<T>(a, blocks), {}, device_ptr<T>(o.state)};
      for (std::size_t n = 0; n < a.count; ++n) args.y[n] = device_ptr<T>(o.y[n]);
      launch("token_shift_forward_kernel", token_shift_forward_kernel<T, Max, Aligned>,
             grid_of<T, Aligned>(blocks), dim3(kThreads), 0, stream_of(ctx), args);
    });
  });
}

void token_shift_backward(ExecContext& ctx, const TokenShiftArgs& a, const TokenShiftOuts&,
                          const TokenShiftOutGrads& dout, const TokenShiftGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowBlocks blocks(a.x.shape, kRows);
  const ColumnSums sums(ctx, blocks, static_cast<std::int64_t>(a.count));
  if (ctx.dry_run) return;
  bool aligned = aligned_inputs(a) && all_aligned({&dout.state, &g.x.view, &g.shift_state.view});
  for (std::size_t n = 0; n < a.count; ++n) aligned = aligned && all_aligned({&dout.y[n]});
  dispatch_rows(a.x.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    dispatch_count(a.count, [&]<int Max>(std::integral_constant<int, Max>) {
      BackwardArgs<T> args{inputs<T>(a, blocks),      {},
                           device_ptr<T>(dout.state), target<T>(g.x),
                           target<T>(g.shift_state),  sums.partial()};
      for (std::size_t n = 0; n < a.count; ++n) args.dy[n] = device_ptr<T>(dout.y[n]);
      launch("token_shift_backward_kernel", token_shift_backward_kernel<T, Max, Aligned>,
             grid_of<T, Aligned>(blocks), dim3(kThreads), 0, stream_of(ctx), args);
    });
  });
  sums.finish(ctx, g.mix);
}

}  // namespace rt::cuda
