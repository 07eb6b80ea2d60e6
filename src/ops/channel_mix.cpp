#include "rt/ops/channel_mix.h"

#include "rt/autograd/tape.h"

namespace rt {

const OpTable<ChannelMixKernels>& channel_mix_table() {
  static constexpr OpTable<ChannelMixKernels> table{
      "channel_mix",
      {ref::channel_mix_forward, ref::channel_mix_backward, ref::channel_mix_forward},
      {cpu::channel_mix_forward, cpu::channel_mix_backward, cpu::channel_mix_forward},
      {cuda::channel_mix_forward, cuda::channel_mix_backward, cuda::channel_mix_forward}};
  return table;
}

Var channel_mix(Tape& tape, Var x, Var key, Var value) {
  const TensorView in = tape.value(x);
  const Shape k = tape.value(key).shape, v = tape.value(value).shape;
  RT_CHECK(in.shape.rank() >= 2 && k.rank() == 2 && k[1] == in.shape.back() && v == (Shape{k[1], k[0]}),
           "channel_mix: x is {}, key {}, value {}", in.shape, k, v);
  ExecContext& ctx = tape.ctx();
  const bool record = tape.needs_grad({x, key, value});
  const Var y = tape.output(in.shape, in.dtype, "channel_mix.y", {x, key, value});
  Shape inner = in.shape;
  inner[inner.rank() - 1] = k[0];
  const Var act = record ? tape.output(inner, in.dtype, "channel_mix.act", {}) : Var{};
  const auto args = [=](Tape& t) { return ChannelMixArgs{t.value(x), t.value(key), t.value(value)}; };
  const auto outs = [=](Tape& t) { return ChannelMixOuts{t.value(y), t.value_or_empty(act)}; };
  channel_mix_table().at(ctx.impl).forward(ctx, args(tape), outs(tape));
  if (record) {
    tape.record("channel_mix", [=](Tape& t) {
      channel_mix_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), outs(t), {t.grad(y)},
                    {t.grad_slot(x), t.grad_slot(key), t.grad_slot(value)});
    });
  }
  return y;
}

}  // namespace rt
