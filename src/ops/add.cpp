#include "rt/ops/add.h"

#include "rt/autograd/tape.h"

namespace rt {

const OpTable<AddKernels>& add_table() {
  static constexpr OpTable<AddKernels> table{"add",
                                             {ref::add_forward, ref::add_backward, ref::add_forward},
                                             {cpu::add_forward, cpu::add_backward, cpu::add_forward},
                                             {cuda::add_forward, cuda::add_backward, cuda::add_forward}};
  return table;
}

Var add(Tape& tape, Var a, Var b) {
  const TensorView left = tape.value(a), right = tape.value(b);
  RT_CHECK(left.shape == right.shape && left.dtype == right.dtype, "add: a is {} {}, b {} {}", left.shape,
           name(left.dtype), right.shape, name(right.dtype));
  ExecContext& ctx = tape.ctx();
  const Var y = tape.output(left.shape, left.dtype, "add.y", {a, b});
  const auto args = [=](Tape& t) { return AddArgs{t.value(a), t.value(b)}; };
  add_table().at(ctx.impl).forward(ctx, args(tape), {tape.value(y)});
  if (tape.needs_grad({a, b})) {
    tape.record("add", [=](Tape& t) {
      const TensorView dy = t.grad(y);  // stays valid when its ownership moves
      const GradSlot da = t.move_grad(y, a) ? GradSlot{} : t.grad_slot(a);
      const GradSlot db = t.move_grad(y, b) ? GradSlot{} : t.grad_slot(b);
      if (da || db) add_table().at(t.ctx().impl).backward(t.ctx(), args(t), {t.value(y)}, {dy}, {da, db});
    });
  }
  return y;
}

}  // namespace rt
