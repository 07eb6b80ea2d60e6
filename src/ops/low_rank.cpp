#include "rt/ops/low_rank.h"

#include "rt/autograd/tape.h"

namespace rt {

const OpTable<LowRankKernels>& low_rank_table() {
  static constexpr OpTable<LowRankKernels> table{
      "low_rank",
      {ref::low_rank_forward, ref::low_rank_backward, ref::low_rank_forward},
      {cpu::low_rank_forward, cpu::low_rank_backward, cpu::low_rank_forward},
      {cuda::low_rank_forward, cuda::low_rank_backward, cuda::low_rank_forward}};
  return table;
}

Var low_rank(Tape& tape, Var x, Var w1, Var w2, Var bias, Activation hidden, Activation out) {
  const TensorView in = tape.value(x);
  const Shape s1 = tape.value(w1).shape, s2 = tape.value(w2).shape;
  RT_CHECK(s1.rank() == 2 && s2.rank() == 2 && s1[0] == in.shape.back() && s2[0] == s1[1] &&
               (!bias || tape.value(bias).numel() == s2[1]),
           "low_rank: x is {}, w1 {}, w2 {}, bias {}", in.shape, s1, s2, tape.value_or_empty(bias).shape);
  ExecContext& ctx = tape.ctx();
  const bool record = tape.needs_grad({x, w1, w2, bias});
  Shape shape = in.shape;
  shape[shape.rank() - 1] = s2[1];
  const Shape hidden_shape{in.numel() / in.shape.back(), s1[1]};
  const Var y = tape.output(shape, in.dtype, "low_rank.y", {x, w1, w2, bias});
  const Var h = record ? tape.output(hidden_shape, in.dtype, "low_rank.h", {}) : Var{};
  const auto args = [=](Tape& t) {
    return LowRankArgs{t.value(x), t.value(w1), t.value(w2), t.value_or_empty(bias), hidden, out};
  };
  {
    const ArenaScope scope(ctx.scratch);
    const TensorView h_view =
        record ? tape.value(h) : ctx.scratch.alloc(hidden_shape, in.dtype, "low_rank.h");
    low_rank_table().at(ctx.impl).forward(ctx, args(tape), {tape.value(y), h_view});
  }
  if (record) {
    tape.record("low_rank", [=](Tape& t) {
      low_rank_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), {t.value(y), t.value(h)}, {t.grad(y)},
                    {t.grad_slot(x), t.grad_slot(w1), t.grad_slot(w2), t.grad_slot(bias)});
    });
  }
  return y;
}

}  // namespace rt
