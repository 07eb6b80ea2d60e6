#include "rt/ops/layer_norm.h"

#include "rt/autograd/tape.h"

namespace rt {

const OpTable<LayerNormKernels>& layer_norm_table() {
  static constexpr OpTable<LayerNormKernels> table{
      "layer_norm",
      {ref::layer_norm_forward, ref::layer_norm_backward, ref::layer_norm_forward},
      {cpu::layer_norm_forward, cpu::layer_norm_backward, cpu::layer_norm_forward},
      {cuda::layer_norm_forward, cuda::layer_norm_backward, cuda::layer_norm_forward}};
  return table;
}

Var layer_norm(Tape& tape, Var x, Var weight, Var bias, double eps) {
  const TensorView& in = tape.value(x);
  const std::int64_t C = in.shape.back();
  RT_CHECK(tape.value(weight).shape == Shape{C} && tape.value(bias).shape == Shape{C},
           "layer_norm: x is {}, weight {}, bias {}", in.shape, tape.value(weight).shape,
           tape.value(bias).shape);
  ExecContext& ctx = tape.ctx();
  const bool record = tape.needs_grad({x, weight, bias});
  const Var y = tape.output(in.shape, in.dtype, "layer_norm.y", {x, weight, bias});
  const Var stats =
      record ? tape.output({in.numel() / C, 2}, accum_dtype(ctx), "layer_norm.stats", {}) : Var{};
  const auto args = [=](Tape& t) { return LayerNormArgs{t.value(x), t.value(weight), t.value(bias), eps}; };
  const auto outs = [=](Tape& t) { return LayerNormOuts{t.value(y), t.value_or_empty(stats)}; };
  const LayerNormKernels& kernels = layer_norm_table().at(ctx.impl);
  kernels.forward(ctx, args(tape), outs(tape));
  if (record) {
    tape.record("layer_norm", [=](Tape& t) {
      layer_norm_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), outs(t), {t.grad(y)},
                    {t.grad_slot(x), t.grad_slot(weight), t.grad_slot(bias)});
    });
  }
  return y;
}

}  // namespace rt
