#include "rt/ops/linear_cross_entropy.h"

#include "rt/autograd/tape.h"

namespace rt {

const OpTable<LinearCrossEntropyKernels>& linear_cross_entropy_table() {
  static constexpr OpTable<LinearCrossEntropyKernels> table{
      "linear_cross_entropy",
      {ref::linear_cross_entropy_forward, ref::linear_cross_entropy_backward,
       ref::linear_cross_entropy_forward},
      {cpu::linear_cross_entropy_forward, cpu::linear_cross_entropy_backward,
       cpu::linear_cross_entropy_forward},
      {cuda::linear_cross_entropy_forward, cuda::linear_cross_entropy_backward,
       cuda::linear_cross_entropy_forward}};
  return table;
}

namespace {

void check_shapes(const TensorView& in, const TensorView& w, const TensorView& ids) {
  RT_CHECK(in.shape.rank() == 3 && in.numel() > 0 && w.numel() > 0 && w.shape.rank() == 2 &&
               w.shape[1] == in.shape[2] && ids.shape == (Shape{in.shape[0], in.shape[1]}) &&
               ids.dtype == DType::I32,
           "linear_cross_entropy: x is {}, weight {}, targets {} {}", in.shape, w.shape, ids.shape,
           name(ids.dtype));
}

}  // namespace

Var linear_cross_entropy(Tape& tape, Var x, Var weight, Var targets, double grad_scale, double l2wrap) {
  const TensorView in = tape.value(x);
  check_shapes(in, tape.value(weight), tape.value(targets));
  ExecContext& ctx = tape.ctx();
  const bool record = tape.needs_grad({x, weight});
  const Var loss = tape.output({in.shape[0]}, accum_dtype(ctx), "linear_cross_entropy.loss", {x, weight});
  const Var dx = tape.needs_grad(x) ? tape.output(in.shape, in.dtype, "linear_cross_entropy.dx", {}) : Var{};
  const auto args = [=](Tape& t) {
    return LinearCrossEntropyArgs{t.value(x), t.value(weight), t.value(targets), grad_scale, l2wrap};
  };
  linear_cross_entropy_table().at(ctx.impl).forward(
      ctx, args(tape), {tape.value(loss), tape.value_or_empty(dx), tape.grad_slot(weight)});
  if (record) {
    tape.record("linear_cross_entropy", [=](Tape& t) {
      linear_cross_entropy_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), {t.value(loss), t.value_or_empty(dx), {}}, {t.grad(loss)},
                    {t.grad_slot(x)});
    });
  }
  return loss;
}

Var token_losses(Tape& tape, Var x, Var weight, Var targets) {
  const TensorView in = tape.value(x), w = tape.value(weight), ids = tape.value(targets);
  check_shapes(in, w, ids);
  ExecContext& ctx = tape.ctx();
  const Var rows = tape.output(ids.shape, accum_dtype(ctx), "token_losses", {});
  const ArenaScope scope(ctx.scratch);
  const TensorView sums = ctx.scratch.alloc({in.shape[0]}, accum_dtype(ctx), "token_losses.sums");
  linear_cross_entropy_table().at(ctx.impl).forward(ctx, {in, w, ids, 0.0, 0.0},
                                                    {sums, {}, {}, tape.value(rows)});
  return rows;
}

}  // namespace rt
