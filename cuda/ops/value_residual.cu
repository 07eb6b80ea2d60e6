#include "rt/ops/value_residual.h"

#include "cuda/ops/piece.cuh"

namespace rt::cuda {
namespace {

constexpr int kThreads = 256, kPiece = 8;

template <class T>
struct Inputs {
  const T *v, *v_first, *gate;
  std::int64_t n;
};

template <class T>
Inputs<T> inputs(const ValueResidualArgs& a) {
  return {device_ptr<T>(a.v), device_ptr<T>(a.v_first), device_ptr<T>(a.gate), a.v.numel()};
}

template <class T, bool Aligned>
__global__ void __launch_bounds__(kThreads) value_residual_forward_kernel(Inputs<T> in, T* y) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads * kPiece;
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPiece; i < in.n;
       i += stride) {
    const std::int64_t left = in.n - i;
    Piece<T, kPiece, Aligned> v_in, first_in, gate_in;
    v_in.load(in.v + i, left);
    first_in.load(in.v_first + i, left);
    gate_in.load(in.gate + i, left);
    float v[kPiece], first[kPiece], gate[kPiece];
    v_in.get(v);
    first_in.get(first);
    gate_in.get(gate);
#pragma unroll
    for (int j = 0; j < kPiece; ++j) v[j] += (first[j] - v[j]) * gate[j];
    store_piece<Aligned>(y + i, left, v);
  }
}

// The slots of v and v_first may be one: v comes first.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kThreads)
    value_residual_backward_kernel(Inputs<T> in, const T* dy, Target<T> dv, Target<T> dfirst,
                                   Target<T> dgate) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads * kPiece;
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPiece; i < in.n;
       i += stride) {
    const std::int64_t left = in.n - i;
    Piece<T, kPiece, Aligned> v_in, first_in, gate_in, dy_in;
    const std::int64_t difference = dgate.data ? left : 0;  // v and v_first matter to dgate alone
    dy_in.load(dy + i, left);
    gate_in.load(in.gate + i, left);
    v_in.load(in.v + i, difference);
    first_in.load(in.v_first + i, difference);
    float d[kPiece], to_first[kPiece], v[kPiece], first[kPiece];
    dy_in.get(d);
    gate_in.get(to_first);
    v_in.get(v);
    first_in.get(first);
#pragma unroll
    for (int j = 0; j < kPiece; ++j) {
      to_first[j] *= d[j];
      first[j] = d[j] * (first[j] - v[j]);
      d[j] -= to_first[j];
    }
    dv.template put<Aligned>(i, left, d);
    dfirst.template put<Aligned>(i, left, to_first);
    dgate.template put<Aligned>(i, left, first);
  }
}

bool aligned_inputs(const ValueResidualArgs& a) {
  return a.v.numel() % kPiece == 0 && all_aligned({&a.v, &a.v_first, &a.gate});
}

}  // namespace

void value_residual_forward(ExecContext& ctx, const ValueResidualArgs& a, const ValueResidualOuts& o) {
  if (ctx.dry_run) return;
  const bool aligned = aligned_inputs(a) && all_aligned({&o.y});
  dispatch_rows(a.v.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    launch("value_residual_forward_kernel", value_residual_forward_kernel<T, Aligned>,
           capped_grid(a.v.numel(), kThreads * kPiece), dim3(kThreads), 0, stream_of(ctx), inputs<T>(a),
           device_ptr<T>(o.y));
  });
}

void value_residual_backward(ExecContext& ctx, const ValueResidualArgs& a, const ValueResidualOuts&,
                             const ValueResidualOutGrads& dout, const ValueResidualGrads& g) {
  if (ctx.dry_run) return;
  const bool aligned = aligned_inputs(a) && all_aligned({&dout.y, &g.v.view, &g.v_first.view, &g.gate.view});
  dispatch_rows(a.v.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    launch("value_residual_backward_kernel", value_residual_backward_kernel<T, Aligned>,
           capped_grid(a.v.numel(), kThreads * kPiece), dim3(kThreads), 0, stream_of(ctx), inputs<T>(a),
           device_ptr<T>(dout.y), target<T>(g.v), target<T>(g.v_first), target<T>(g.gate));
  });
}

}  // namespace rt::cuda
