#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

// LayerNorm over the last dimension (Ba et al. 2016; every norm of RWKV but ln_x, reference rwkv.md 1.0):
//   y = (x - mean) * rstd * weight + bias,   rstd = 1 / sqrt(var + eps), var biased.
// Statistics in f32 (f64 for Ref). Backward reads x and the saved statistics.
struct LayerNormArgs {
  TensorView x;       // (..., C)
  TensorView weight;  // (C)
  TensorView bias;    // (C)
  double eps;
};
struct LayerNormOuts {
  TensorView y;      // (..., C)
  TensorView stats;  // (rows, 2) mean and rstd, accumulation dtype; may be empty when nothing is recorded
};
struct LayerNormOutGrads {
  TensorView y;
};
struct LayerNormGrads {
  GradSlot x, weight, bias;
};

using LayerNormKernels = OpKernels<LayerNormArgs, LayerNormOuts, LayerNormOutGrads, LayerNormGrads>;
const OpTable<LayerNormKernels>& layer_norm_table();

Var layer_norm(Tape& tape, Var x, Var weight, Var bias, double eps = 1e-5);

namespace ref {
void layer_norm_forward(ExecContext&, const LayerNormArgs&, const LayerNormOuts&);
void layer_norm_backward(ExecContext&, const LayerNormArgs&, const LayerNormOuts&, const LayerNormOutGrads&,
                         const LayerNormGrads&);
}  // namespace ref
namespace cpu {
void layer_norm_forward(ExecContext&, const LayerNormArgs&, const LayerNormOuts&);
void layer_norm_backward(ExecContext&, const LayerNormArgs&, const LayerNormOuts&, const LayerNormOutGrads&,
                         const LayerNormGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void layer_norm_forward(ExecContext&, const LayerNormArgs&, const LayerNormOuts&);
RT_CUDA void layer_norm_backward(ExecContext&, const LayerNormArgs&, const LayerNormOuts&,
                                 const LayerNormOutGrads&, const LayerNormGrads&);
}  // namespace cuda

}  // namespace rt
