#include "rt/ops/value_residual.h"

#include "rt/autograd/tape.h"

namespace rt {

const OpTable<ValueResidualKernels>& value_residual_table() {
  static constexpr OpTable<ValueResidualKernels> table{
      "value_residual",
      {ref::value_residual_forward, ref::value_residual_backward, ref::value_residual_forward},
      {cpu::value_residual_forward, cpu::value_residual_backward, cpu::value_residual_forward},
      {cuda::value_residual_forward, cuda::value_residual_backward, cuda::value_residual_forward}};
  return table;
}

Var value_residual(Tape& tape, Var v, Var v_first, Var gate) {
  const TensorView in = tape.value(v);
  RT_CHECK(tape.value(v_first).shape == in.shape && tape.value(gate).shape == in.shape,
           "value_residual: v is {}, v_first {}, gate {}", in.shape, tape.value(v_first).shape,
           tape.value(gate).shape);
  ExecContext& ctx = tape.ctx();
  const Var y = tape.output(in.shape, in.dtype, "value_residual.y", {v, v_first, gate});
  const auto args = [=](Tape& t) { return ValueResidualArgs{t.value(v), t.value(v_first), t.value(gate)}; };
  value_residual_table().at(ctx.impl).forward(ctx, args(tape), {tape.value(y)});
  if (tape.needs_grad(y)) {
    tape.record("value_residual", [=](Tape& t) {
      value_residual_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), {t.value(y)}, {t.grad(y)},
                    {t.grad_slot(v), t.grad_slot(v_first), t.grad_slot(gate)});
    });
  }
  return y;
}

}  // namespace rt
