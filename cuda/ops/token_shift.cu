#include "cuda/ops/token_shift.cuh"

namespace rt::cuda {
namespace {

using namespace token_shift;

constexpr int kStripRows = 16;

template <class T>
struct ForwardArgs {
  Inputs<T> in;
  T* y[kMaxTokenShifts];
  T* state;  // (B, C); may be shift_state when T is 1: then one lane reads and writes an element
};

template <class T, int Max, bool Aligned>
__global__ void __launch_bounds__(kThreads, kAny<Max> ? 2 : 3) token_shift_forward_kernel(ForwardArgs<T> a) {
  constexpr int N = kWidth<T, Aligned>;
  const Inputs<T>& in = a.in;
  const RowBlock rows(in.blocks, blockIdx.x);
  const Strip at(in.blocks, rows, N);
  if (at.first >= at.end || at.left <= 0) return;
  const std::int64_t C = in.blocks.C;
  Piece<T, N, Aligned> mix[Max], before, here, next;
#pragma unroll
  for (int n = 0; n < Max; ++n) {
    if (in.template has<Max>(n)) mix[n].load(in.mix[n] + at.column, at.left);
  }
  const T* const above = before_row(in, rows, at, at.first);
  before.load(above, above ? at.left : 0);
  next.load(in.x + at.first * C + at.column, at.left);
#pragma unroll 2
  for (std::int64_t row = at.first; row < at.end; ++row) {
    here = next;
    if (row + 1 < at.end) next.load(in.x + (row + 1) * C + at.column, at.left);
    const bool reset = in.is_reset(row);
    float x[N], shift[N];
    here.get(x);
    before.get(shift);
#pragma unroll
    for (int i = 0; i < N; ++i) shift[i] = (reset ? 0.0f : shift[i]) - x[i];
#pragma unroll
    for (int n = 0; n < Max; ++n) {
      if (!in.template has<Max>(n)) continue;
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

}  // namespace

void token_shift_forward(ExecContext& ctx, const TokenShiftArgs& a, const TokenShiftOuts& o) {
  if (ctx.dry_run) return;
  const RowBlocks blocks(a.x.shape, kStrips * kStripRows);
  bool aligned = aligned_inputs(a) && all_aligned({&o.state});
  for (std::size_t n = 0; n < a.count; ++n) aligned = aligned && all_aligned({&o.y[n]});
  dispatch_rows(a.x.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    dispatch_count(a.count, true, [&]<int Max>(std::integral_constant<int, Max>) {
      ForwardArgs<T> args{inputs<T>(a, blocks), {}, device_ptr<T>(o.state)};
      for (std::size_t n = 0; n < a.count; ++n) args.y[n] = device_ptr<T>(o.y[n]);
      launch("token_shift_forward_kernel", token_shift_forward_kernel<T, Max, Aligned>,
             grid_of<T, Aligned>(blocks), dim3(kThreads), 0, stream_of(ctx), args);
    });
  });
}

}  // namespace rt::cuda
