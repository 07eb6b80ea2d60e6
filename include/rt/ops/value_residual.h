#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

// The value residual of RWKV-7 (reference rwkv.md 1.4): y = v + (v_first - v) * gate, elementwise. Nothing is
// saved.
struct ValueResidualArgs {
  TensorView v, v_first, gate;  // (..., C)
};
struct ValueResidualOuts {
  TensorView y;  // (..., C)
};
struct ValueResidualOutGrads {
  TensorView y;
};
struct ValueResidualGrads {
  GradSlot v, v_first, gate;
};

using ValueResidualKernels =
    OpKernels<ValueResidualArgs, ValueResidualOuts, ValueResidualOutGrads, ValueResidualGrads>;
const OpTable<ValueResidualKernels>& value_residual_table();

Var value_residual(Tape& tape, Var v, Var v_first, Var gate);

namespace ref {
void value_residual_forward(ExecContext&, const ValueResidualArgs&, const ValueResidualOuts&);
void value_residual_backward(ExecContext&, const ValueResidualArgs&, const ValueResidualOuts&,
                             const ValueResidualOutGrads&, const ValueResidualGrads&);
}  // namespace ref
namespace cpu {
void value_residual_forward(ExecContext&, const ValueResidualArgs&, const ValueResidualOuts&);
void value_residual_backward(ExecContext&, const ValueResidualArgs&, const ValueResidualOuts&,
                             const ValueResidualOutGrads&, const ValueResidualGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void value_residual_forward(ExecContext&, const ValueResidualArgs&, const ValueResidualOuts&);
RT_CUDA void value_residual_backward(ExecContext&, const ValueResidualArgs&, const ValueResidualOuts&,
                                     const ValueResidualOutGrads&, const ValueResidualGrads&);
}  // namespace cuda

}  // namespace rt
