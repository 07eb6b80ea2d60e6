#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

// What RWKV-7 does to the output of the recurrence before the last projection (reference rwkv.md 1.4;
// gradients 1.8). Per head of N channels:
//   xhat = (y - mean) * rstd,   rstd = 1 / sqrt(var + eps), var biased
//   bonus = sum_n r * k * r_k
//   out = (xhat * weight + bias + bonus * v) * gate
// Statistics in f32 (f64 for Ref). Backward reads every input and the saved statistics.
struct GroupNormBonusGateArgs {
  TensorView y, r, k, v, gate;   // (..., C)
  TensorView r_k, weight, bias;  // C elements each
  std::int64_t head_size;
  double eps;
};
struct GroupNormBonusGateOuts {
  TensorView out;  // (..., C)
  TensorView
      stats;  // (rows, H, 3) mean, rstd, bonus in the accumulation dtype; empty when nothing is recorded
};
struct GroupNormBonusGateOutGrads {
  TensorView out;
};
struct GroupNormBonusGateGrads {
  GradSlot y, r, k, v, gate, r_k, weight, bias;
};

using GroupNormBonusGateKernels = OpKernels<GroupNormBonusGateArgs, GroupNormBonusGateOuts,
                                            GroupNormBonusGateOutGrads, GroupNormBonusGateGrads>;
const OpTable<GroupNormBonusGateKernels>& group_norm_bonus_gate_table();

// head_size: a multiple of 16.
Var group_norm_bonus_gate(Tape& tape, Var y, Var r, Var k, Var v, Var gate, Var r_k, Var weight, Var bias,
                          std::int64_t head_size, double eps);

namespace ref {
void group_norm_bonus_gate_forward(ExecContext&, const GroupNormBonusGateArgs&,
                                   const GroupNormBonusGateOuts&);
void group_norm_bonus_gate_backward(ExecContext&, const GroupNormBonusGateArgs&,
                                    const GroupNormBonusGateOuts&, const GroupNormBonusGateOutGrads&,
                                    const GroupNormBonusGateGrads&);
}  // namespace ref
namespace cpu {
void group_norm_bonus_gate_forward(ExecContext&, const GroupNormBonusGateArgs&,
                                   const GroupNormBonusGateOuts&);
void group_norm_bonus_gate_backward(ExecContext&, const GroupNormBonusGateArgs&,
                                    const GroupNormBonusGateOuts&, const GroupNormBonusGateOutGrads&,
                                    const GroupNormBonusGateGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void group_norm_bonus_gate_forward(ExecContext&, const GroupNormBonusGateArgs&,
                                           const GroupNormBonusGateOuts&);
RT_CUDA void group_norm_bonus_gate_backward(ExecContext&, const GroupNormBonusGateArgs&,
                                            const GroupNormBonusGateOuts&, const GroupNormBonusGateOutGrads&,
                                            const GroupNormBonusGateGrads&);
}  // namespace cuda

}  // namespace rt
