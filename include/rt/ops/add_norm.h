#pragma once
#include "rt/autograd/tape.h"
#include "rt/ops/add.h"
#include "rt/ops/layer_norm.h"

namespace rt {

// The residual stream and the norm that reads it, in one pass over memory:
//   x = a + b,   y = LayerNorm(x)     (add.h and layer_norm.h, whose numbers these are to the bit)
// Backward: d = dx + LayerNorm'(x) dy goes to a and to b. It reads x and the statistics.
struct AddNormArgs {
  TensorView a, b;          // (..., C)
  TensorView weight, bias;  // (C)
  double eps;
};
struct AddNormOuts {
  TensorView x, y;   // (..., C)
  TensorView stats;  // (rows, 2) as in LayerNormOuts
};
struct AddNormOutGrads {
  TensorView x, y;
};
struct AddNormGrads {
  GradSlot a, b;  // may be one; may be the memory of AddNormOutGrads::x, which is read first
  GradSlot weight, bias;
};

using AddNormKernels = OpKernels<AddNormArgs, AddNormOuts, AddNormOutGrads, AddNormGrads>;
const OpTable<AddNormKernels>& add_norm_table();

struct AddNormResult {
  Var x, y;
};
AddNormResult add_norm(Tape& tape, Var a, Var b, Var weight, Var bias, double eps = 1e-5);

namespace ref {
void add_norm_forward(ExecContext&, const AddNormArgs&, const AddNormOuts&);
void add_norm_backward(ExecContext&, const AddNormArgs&, const AddNormOuts&, const AddNormOutGrads&,
                       const AddNormGrads&);
}  // namespace ref
namespace cpu {
void add_norm_forward(ExecContext&, const AddNormArgs&, const AddNormOuts&);
void add_norm_backward(ExecContext&, const AddNormArgs&, const AddNormOuts&, const AddNormOutGrads&,
                       const AddNormGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void add_norm_forward(ExecContext&, const AddNormArgs&, const AddNormOuts&);
RT_CUDA void add_norm_backward(ExecContext&, const AddNormArgs&, const AddNormOuts&, const AddNormOutGrads&,
                               const AddNormGrads&);
}  // namespace cuda

}  // namespace rt
