#include "rt/ops/add_norm.h"

#include "cuda/ops/layer_norm.cuh"

namespace rt::cuda {

void add_norm_forward(ExecContext& ctx, const AddNormArgs& a, const AddNormOuts& o) {
  layer_norm::forward(ctx, {a.a, a.weight, a.bias, a.eps}, {o.y, o.stats}, a.b, o.x);
}

void add_norm_backward(ExecContext& ctx, const AddNormArgs& a, const AddNormOuts& o,
                       const AddNormOutGrads& dout, const AddNormGrads& g) {
  if (!dout.y) return add_backward(ctx, {a.a, a.b}, {o.x}, {dout.x}, {g.a, g.b});
  layer_norm::backward(ctx, {o.x, a.weight, a.bias, a.eps}, {o.y, o.stats}, dout.y, dout.x, g.a, g.b,
                       g.weight, g.bias);
}

}  // namespace rt::cuda
