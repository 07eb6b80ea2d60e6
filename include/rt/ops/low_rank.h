#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

enum class Activation : std::uint8_t { None, Tanh, Sigmoid };

// The low-rank projections of RWKV-6 and 7 (decay, rate, value and gate; reference rwkv.md 1.4):
//   h = hidden_fn(x w1),   y = out_fn(bias + h w2)
// Backward reads x, y and h: both activations have derivatives in terms of their results.
struct LowRankArgs {
  TensorView x;     // (..., C)
  TensorView w1;    // (C, D)
  TensorView w2;    // (D, C2)
  TensorView bias;  // C2 elements; may be empty
  Activation hidden, out;
};
struct LowRankOuts {
  TensorView y;  // (..., C2)
  TensorView h;  // (rows, D)
};
struct LowRankOutGrads {
  TensorView y;
};
struct LowRankGrads {
  GradSlot x, w1, w2, bias;
};

using LowRankKernels = OpKernels<LowRankArgs, LowRankOuts, LowRankOutGrads, LowRankGrads>;
const OpTable<LowRankKernels>& low_rank_table();

Var low_rank(Tape& tape, Var x, Var w1, Var w2, Var bias, Activation hidden, Activation out);

namespace ref {
void low_rank_forward(ExecContext&, const LowRankArgs&, const LowRankOuts&);
void low_rank_backward(ExecContext&, const LowRankArgs&, const LowRankOuts&, const LowRankOutGrads&,
                       const LowRankGrads&);
}  // namespace ref
namespace cpu {
void low_rank_forward(ExecContext&, const LowRankArgs&, const LowRankOuts&);
void low_rank_backward(ExecContext&, const LowRankArgs&, const LowRankOuts&, const LowRankOutGrads&,
                       const LowRankGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void low_rank_forward(ExecContext&, const LowRankArgs&, const LowRankOuts&);
RT_CUDA void low_rank_backward(ExecContext&, const LowRankArgs&, const LowRankOuts&, const LowRankOutGrads&,
                               const LowRankGrads&);
}  // namespace cuda

}  // namespace rt
