#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

// y = a + b, same shape and dtype (the residual stream). Backward hands dy to one side without copying where
// it can; what is left to the kernel is da += dy and db += dy. Either slot's memory may be dy's own.
struct AddArgs {
  TensorView a, b;
};
struct AddOuts {
  TensorView y;
};
struct AddOutGrads {
  TensorView y;
};
struct AddGrads {
  GradSlot a, b;
};

using AddKernels = OpKernels<AddArgs, AddOuts, AddOutGrads, AddGrads>;
const OpTable<AddKernels>& add_table();

Var add(Tape& tape, Var a, Var b);  // a == b is fine

namespace ref {
void add_forward(ExecContext&, const AddArgs&, const AddOuts&);
void add_backward(ExecContext&, const AddArgs&, const AddOuts&, const AddOutGrads&, const AddGrads&);
}  // namespace ref
namespace cpu {
void add_forward(ExecContext&, const AddArgs&, const AddOuts&);
void add_backward(ExecContext&, const AddArgs&, const AddOuts&, const AddOutGrads&, const AddGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void add_forward(ExecContext&, const AddArgs&, const AddOuts&);
RT_CUDA void add_backward(ExecContext&, const AddArgs&, const AddOuts&, const AddOutGrads&, const AddGrads&);
}  // namespace cuda

}  // namespace rt
