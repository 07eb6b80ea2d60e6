#include "rt/ops/add_norm.h"

namespace rt::cpu {

void add_norm_forward(ExecContext& ctx, const AddNormArgs& a, const AddNormOuts& o) {
  add_forward(ctx, {a.a, a.b}, {o.x});
  layer_norm_forward(ctx, {o.x, a.weight, a.bias, a.eps}, {o.y, o.stats});
}

// d is formed in the place of one of its two targets, where that is to be overwritten.
void add_norm_backward(ExecContext& ctx, const AddNormArgs& a, const AddNormOuts& o,
                       const AddNormOutGrads& dout, const AddNormGrads& g) {
  const AddArgs sides{a.a, a.b};
  if (!dout.y) return add_backward(ctx, sides, {o.x}, {dout.x}, {g.a, g.b});
  const ArenaScope scope(ctx.scratch);
  const auto fits = [&](const GradSlot& slot) {
    return slot && slot.mode == GradMode::Overwrite && slot.view.dtype == o.x.dtype;
  };
  const bool in_a = fits(g.a), in_b = !in_a && fits(g.b), wanted = g.a || g.b;
  GradSlot d;
  if (wanted) {
    d.view = in_a ? g.a.view : in_b ? g.b.view : ctx.scratch.alloc(o.x.shape, o.x.dtype, "add_norm.d");
    d.mode = dout.x ? GradMode::Accumulate : GradMode::Overwrite;
    if (dout.x && d.view.data != dout.x.data)
      add_backward(ctx, sides, {o.x}, {dout.x}, {{d.view, GradMode::Overwrite}, {}});
  }
  layer_norm_backward(ctx, {o.x, a.weight, a.bias, a.eps}, {o.y, o.stats}, {dout.y}, {d, g.weight, g.bias});
  if (wanted) add_backward(ctx, sides, {o.x}, {d.view}, {in_a ? GradSlot{} : g.a, in_b ? GradSlot{} : g.b});
}

}  // namespace rt::cpu
