#include "rt/ops/add_norm.h"

#include <vector>

namespace rt::ref {

void add_norm_forward(ExecContext& ctx, const AddNormArgs& a, const AddNormOuts& o) {
  add_forward(ctx, {a.a, a.b}, {o.x});
  layer_norm_forward(ctx, {o.x, a.weight, a.bias, a.eps}, {o.y, o.stats});
}

void add_norm_backward(ExecContext& ctx, const AddNormArgs& a, const AddNormOuts& o,
                       const AddNormOutGrads& dout, const AddNormGrads& g) {
  if (ctx.dry_run) return;
  std::vector<double> sum(static_cast<std::size_t>(o.x.numel()));
  for (std::size_t i = 0; dout.x && i < sum.size(); ++i) sum[i] = dout.x.as<double>()[i];
  const TensorView total(sum.data(), o.x.shape, DType::F64);
  if (dout.y) {
    layer_norm_backward(ctx, {o.x, a.weight, a.bias, a.eps}, {o.y, o.stats}, {dout.y},
                        {{total, GradMode::Accumulate}, g.weight, g.bias});
  }
  add_backward(ctx, {a.a, a.b}, {o.x}, {total}, {g.a, g.b});
}

}  // namespace rt::ref
