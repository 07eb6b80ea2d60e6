#include "rt/ops/key_prepare.h"

namespace rt {

const OpTable<KeyPrepareKernels>& key_prepare_table() {
  static constexpr OpTable<KeyPrepareKernels> table{
      "key_prepare",
      {ref::key_prepare_forward, ref::key_prepare_backward, ref::key_prepare_forward},
      {cpu::key_prepare_forward, cpu::key_prepare_backward, cpu::key_prepare_forward},
      {cuda::key_prepare_forward, cuda::key_prepare_backward, cuda::key_prepare_forward}};
  return table;
}

KeyPrepared key_prepare(Tape& tape, Var k, Var rate, Var k_k, Var k_a, std::int64_t head_size) {
  const TensorView in = tape.value(k);
  const std::int64_t C = in.shape.back();
  RT_CHECK(tape.value(rate).shape == in.shape && tape.value(k_k).numel() == C && tape.value(k_a).numel() == C,
           "key_prepare: k is {}, rate {}, k_k {}, k_a {}", in.shape, tape.value(rate).shape,
           tape.value(k_k).shape, tape.value(k_a).shape);
  RT_CHECK(head_size > 0 && head_size % 16 == 0 && C % head_size == 0,
           "key_prepare: head_size is {}, not a multiple of 16 that divides the width {}", head_size, C);
  ExecContext& ctx = tape.ctx();
  KeyPrepared out;
  out.k = tape.output(in.shape, in.dtype, "key_prepare.k", {k, rate, k_a});
  out.a = tape.output(in.shape, in.dtype, "key_prepare.a", {k, k_k});
  out.b = tape.output(in.shape, in.dtype, "key_prepare.b", {k, rate, k_k});
  const auto args = [=](Tape& t) {
    return KeyPrepareArgs{t.value(k), t.value(rate), t.value(k_k), t.value(k_a), head_size};
  };
  const auto outs = [=](Tape& t) { return KeyPrepareOuts{t.value(out.k), t.value(out.a), t.value(out.b)}; };
  key_prepare_table().at(ctx.impl).forward(ctx, args(tape), outs(tape));
  if (tape.needs_grad({k, rate, k_k, k_a})) {
    tape.record("key_prepare", [=](Tape& t) {
      key_prepare_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), outs(t), {t.grad(out.k), t.grad(out.a), t.grad(out.b)},
                    {t.grad_slot(k), t.grad_slot(rate), t.grad_slot(k_k), t.grad_slot(k_a)});
    });
  }
  return out;
}

}  // namespace rt
