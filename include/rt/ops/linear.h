#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

// y = x W^T, without bias (RWKV has none, reference rwkv.md 1.0). Sums in f32 (f64 for Ref). Backward:
//   dx = dy W,   dW = the sum over sequences, in order, of dy_b^T x_b.
struct LinearArgs {
  TensorView x;       // (..., K)
  TensorView weight;  // (M, K)
};
struct LinearOuts {
  TensorView y;  // (..., M)
};
struct LinearOutGrads {
  TensorView y;
};
struct LinearGrads {
  GradSlot x, weight;
};

using LinearKernels = OpKernels<LinearArgs, LinearOuts, LinearOutGrads, LinearGrads>;
const OpTable<LinearKernels>& linear_table();

Var linear(Tape& tape, Var x, Var weight);

namespace ref {
void linear_forward(ExecContext&, const LinearArgs&, const LinearOuts&);
void linear_backward(ExecContext&, const LinearArgs&, const LinearOuts&, const LinearOutGrads&,
                     const LinearGrads&);
}  // namespace ref
namespace cpu {
void linear_forward(ExecContext&, const LinearArgs&, const LinearOuts&);
void linear_backward(ExecContext&, const LinearArgs&, const LinearOuts&, const LinearOutGrads&,
                     const LinearGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void linear_forward(ExecContext&, const LinearArgs&, const LinearOuts&);
RT_CUDA void linear_backward(ExecContext&, const LinearArgs&, const LinearOuts&, const LinearOutGrads&,
                             const LinearGrads&);
}  // namespace cuda

}  // namespace rt
