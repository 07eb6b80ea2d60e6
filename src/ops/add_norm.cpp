#include "rt/ops/add_norm.h"

namespace rt {
namespace {

// Where a side's gradient goes: the memory of x's own, when that can change hands, or a slot.
GradSlot side_slot(Tape& t, Var x, Var side) {
  if (!t.needs_grad(side)) return {};
  const TensorView dx = t.grad(x);
  if (dx && t.move_grad(x, side)) return {dx, GradMode::Overwrite};
  return t.grad_slot(side);
}

}  // namespace

const OpTable<AddNormKernels>& add_norm_table() {
  static constexpr OpTable<AddNormKernels> table{
      "add_norm",
      {ref::add_norm_forward, ref::add_norm_backward, ref::add_norm_forward},
      {cpu::add_norm_forward, cpu::add_norm_backward, cpu::add_norm_forward},
      {cuda::add_norm_forward, cuda::add_norm_backward, cuda::add_norm_forward}};
  return table;
}

AddNormResult add_norm(Tape& tape, Var a, Var b, Var weight, Var bias, double eps) {
  const TensorView left = tape.value(a), right = tape.value(b);
  const std::int64_t C = left.shape.back();
  RT_CHECK(left.shape == right.shape && left.dtype == right.dtype, "add_norm: a is {} {}, b {} {}",
           left.shape, name(left.dtype), right.shape, name(right.dtype));
  RT_CHECK(tape.value(weight).shape == Shape{C} && tape.value(bias).shape == Shape{C},
           "add_norm: a is {}, weight {}, bias {}", left.shape, tape.value(weight).shape,
           tape.value(bias).shape);
  ExecContext& ctx = tape.ctx();
  const bool record = tape.needs_grad({a, b, weight, bias});
  const Var x = tape.output(left.shape, left.dtype, "add_norm.x", {a, b});
  const Var y = tape.output(left.shape, left.dtype, "add_norm.y", {a, b, weight, bias});
  const Var stats =
      record ? tape.output({left.numel() / C, 2}, accum_dtype(ctx), "add_norm.stats", {}) : Var{};
  const auto args = [=](Tape& t) {
    return AddNormArgs{t.value(a), t.value(b), t.value(weight), t.value(bias), eps};
  };
  const auto outs = [=](Tape& t) { return AddNormOuts{t.value(x), t.value(y), t.value_or_empty(stats)}; };
  add_norm_table().at(ctx.impl).forward(ctx, args(tape), outs(tape));
  if (record) {
    tape.record("add_norm", [=](Tape& t) {
      const AddNormOutGrads dout{t.grad(x), t.grad(y)};  // stay valid when their ownership moves
      const GradSlot da = side_slot(t, x, a), db = side_slot(t, x, b);
      const GradSlot dw = dout.y ? t.grad_slot(weight) : GradSlot{};
      const GradSlot dbias = dout.y ? t.grad_slot(bias) : GradSlot{};
      add_norm_table().at(t.ctx().impl).backward(t.ctx(), args(t), outs(t), dout, {da, db, dw, dbias});
    });
  }
  return {x, y};
}

}  // namespace rt
