#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

// The head and its loss without (B, T, V) logits: they exist for a block of rows at a time.
//   loss[b] = the sum of -log softmax(x weight^T)[target] over the rows of sequence b whose target is not -1.
// The gradients are formed in forward, while a block's logits are there. They are those of
//   grad_scale * (sum over b of loss[b]) + L2Wrap,
// where L2Wrap adds l2wrap * grad_scale * max to the gradient of each counted row's largest logit, the first
// one on ties, and is not in the loss (reference rwkv.md 3.5: grad_scale = 1 / counted rows, l2wrap = 1e-4).
// Forward adds dW straight to the weight's gradient and saves dx on the tape; backward hands dx on. So the
// loss must be seeded with ones: any other gradient reaching it is an error (checked on the host).
// Targets outside [-1, V) are an error (Exit::Data) on the host. Arithmetic f32, loss in double inside.
struct LinearCrossEntropyArgs {
  TensorView x;        // (B, T, C)
  TensorView weight;   // (V, C)
  TensorView targets;  // (B, T) I32
  double grad_scale;
  double l2wrap;
};
struct LinearCrossEntropyOuts {
  TensorView loss;  // (B) accumulation dtype
  TensorView dx;    // (B, T, C) dtype of x; empty: not wanted
  GradSlot weight;  // gradient of weight
  // (B, T) accumulation dtype: each row's share of the loss, 0 where it is not counted; empty: not wanted
  TensorView rows = {};
};
struct LinearCrossEntropyOutGrads {
  TensorView loss;  // (B), all ones
};
struct LinearCrossEntropyGrads {
  GradSlot x;
};

using LinearCrossEntropyKernels = OpKernels<LinearCrossEntropyArgs, LinearCrossEntropyOuts,
                                            LinearCrossEntropyOutGrads, LinearCrossEntropyGrads>;
const OpTable<LinearCrossEntropyKernels>& linear_cross_entropy_table();

Var linear_cross_entropy(Tape& tape, Var x, Var weight, Var targets, double grad_scale, double l2wrap);
// (B, T) accumulation dtype: the loss of each row, 0 where the target is -1. No gradient flows through it.
Var token_losses(Tape& tape, Var x, Var weight, Var targets);

namespace ref {
void linear_cross_entropy_forward(ExecContext&, const LinearCrossEntropyArgs&, const LinearCrossEntropyOuts&);
void linear_cross_entropy_backward(ExecContext&, const LinearCrossEntropyArgs&, const LinearCrossEntropyOuts&,
                                   const LinearCrossEntropyOutGrads&, const LinearCrossEntropyGrads&);
}  // namespace ref
namespace cpu {
void linear_cross_entropy_forward(ExecContext&, const LinearCrossEntropyArgs&, const LinearCrossEntropyOuts&);
void linear_cross_entropy_backward(ExecContext&, const LinearCrossEntropyArgs&, const LinearCrossEntropyOuts&,
                                   const LinearCrossEntropyOutGrads&, const LinearCrossEntropyGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void linear_cross_entropy_forward(ExecContext&, const LinearCrossEntropyArgs&,
                                          const LinearCrossEntropyOuts&);
RT_CUDA void linear_cross_entropy_backward(ExecContext&, const LinearCrossEntropyArgs&,
                                           const LinearCrossEntropyOuts&, const LinearCrossEntropyOutGrads&,
                                           const LinearCrossEntropyGrads&);
}  // namespace cuda

}  // namespace rt
