#include "rt/ops/linear.h"

#include "rt/autograd/tape.h"

namespace rt {

const OpTable<LinearKernels>& linear_table() {
  static constexpr OpTable<LinearKernels> table{
      "linear",
      {ref::linear_forward, ref::linear_backward, ref::linear_forward},
      {cpu::linear_forward, cpu::linear_backward, cpu::linear_forward},
      {cuda::linear_forward, cuda::linear_backward, cuda::linear_forward}};
  return table;
}

Var linear(Tape& tape, Var x, Var weight) {
  const TensorView in = tape.value(x), w = tape.value(weight);
  RT_CHECK(w.shape.rank() == 2 && in.shape.rank() >= 2 && in.shape.back() == w.shape[1],
           "linear: x is {}, weight {}", in.shape, w.shape);
  ExecContext& ctx = tape.ctx();
  Shape shape = in.shape;
  shape[shape.rank() - 1] = w.shape[0];
  const Var y = tape.output(shape, in.dtype, "linear.y", {x, weight});
  const auto args = [=](Tape& t) { return LinearArgs{t.value(x), t.value(weight)}; };
  linear_table().at(ctx.impl).forward(ctx, args(tape), {tape.value(y)});
  if (tape.needs_grad({x, weight})) {
    tape.record("linear", [=](Tape& t) {
      linear_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), {t.value(y)}, {t.grad(y)}, {t.grad_slot(x), t.grad_slot(weight)});
    });
  }
  return y;
}

}  // namespace rt
