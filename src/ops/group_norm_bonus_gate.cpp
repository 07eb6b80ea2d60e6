#include "rt/ops/group_norm_bonus_gate.h"

#include "rt/autograd/tape.h"

namespace rt {
namespace {

struct Inputs {
  Var y, r, k, v, gate, r_k, weight, bias;
  std::int64_t head_size;
  double eps;

  GroupNormBonusGateArgs views(const Tape& t) const {
    return {t.value(y),   t.value(r),      t.value(k),    t.value(v), t.value(gate),
            t.value(r_k), t.value(weight), t.value(bias), head_size,  eps};
  }
  GroupNormBonusGateGrads slots(Tape& t) const {
    return {t.grad_slot(y),    t.grad_slot(r),   t.grad_slot(k),      t.grad_slot(v),
            t.grad_slot(gate), t.grad_slot(r_k), t.grad_slot(weight), t.grad_slot(bias)};
  }
};

void check(const GroupNormBonusGateArgs& a) {
  const Shape& shape = a.y.shape;
  const std::int64_t C = shape.back();
  RT_CHECK(a.r.shape == shape && a.k.shape == shape && a.v.shape == shape && a.gate.shape == shape,
           "group_norm_bonus_gate: y is {}, r {}, k {}, v {}, gate {}", shape, a.r.shape, a.k.shape,
           a.v.shape, a.gate.shape);
  RT_CHECK(a.r_k.numel() == C && a.weight.numel() == C && a.bias.numel() == C,
           "group_norm_bonus_gate: y is {} but r_k {}, weight {}, bias {}", shape, a.r_k.shape,
           a.weight.shape, a.bias.shape);
  RT_CHECK(a.head_size > 0 && a.head_size % 16 == 0 && C % a.head_size == 0,
           "group_norm_bonus_gate: head_size is {}, not a multiple of 16 that divides the width {}",
           a.head_size, C);
}

}  // namespace

const OpTable<GroupNormBonusGateKernels>& group_norm_bonus_gate_table() {
  static constexpr OpTable<GroupNormBonusGateKernels> table{
      "group_norm_bonus_gate",
      {ref::group_norm_bonus_gate_forward, ref::group_norm_bonus_gate_backward,
       ref::group_norm_bonus_gate_forward},
      {cpu::group_norm_bonus_gate_forward, cpu::group_norm_bonus_gate_backward,
       cpu::group_norm_bonus_gate_forward},
      {cuda::group_norm_bonus_gate_forward, cuda::group_norm_bonus_gate_backward,
       cuda::group_norm_bonus_gate_forward}};
  return table;
}

Var group_norm_bonus_gate(Tape& tape, Var y, Var r, Var k, Var v, Var gate, Var r_k, Var weight, Var bias,
                          std::int64_t head_size, double eps) {
  const Inputs in{y, r, k, v, gate, r_k, weight, bias, head_size, eps};
  const GroupNormBonusGateArgs args = in.views(tape);
  check(args);
  ExecContext& ctx = tape.ctx();
  const auto all = {y, r, k, v, gate, r_k, weight, bias};
  const bool record = tape.needs_grad(all);
  const Shape& shape = args.y.shape;
  const Var out = tape.output(shape, args.y.dtype, "group_norm_bonus_gate.out", all);
  const Shape stats_shape{shape.numel() / shape.back(), shape.back() / head_size, 3};
  const Var stats =
      record ? tape.output(stats_shape, accum_dtype(ctx), "group_norm_bonus_gate.stats", {}) : Var{};
  const auto outs = [=](Tape& t) { return GroupNormBonusGateOuts{t.value(out), t.value_or_empty(stats)}; };
  group_norm_bonus_gate_table().at(ctx.impl).forward(ctx, args, outs(tape));
  if (record) {
    tape.record("group_norm_bonus_gate", [=](Tape& t) {
      group_norm_bonus_gate_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), in.views(t), outs(t), {t.grad(out)}, in.slots(t));
    });
  }
  return out;
}

}  // namespace rt
