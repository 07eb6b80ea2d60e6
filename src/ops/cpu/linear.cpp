#include "rt/ops/linear.h"

#include "ops/cpu/gemm.h"

namespace rt::cpu {

void linear_forward(ExecContext& ctx, const LinearArgs& a, const LinearOuts& o) {
  matmul(ctx, RowPlan(a.x.shape), a.x, a.weight, true, o.y, false);
}

void linear_backward(ExecContext& ctx, const LinearArgs& a, const LinearOuts&, const LinearOutGrads& dout,
                     const LinearGrads& g) {
  const RowPlan rows(a.x.shape);
  if (g.x) matmul(ctx, rows, dout.y, a.weight, false, g.x.view, g.x.mode == GradMode::Accumulate);
  matmul_weight_grad(ctx, rows, dout.y, a.x, g.weight);
}

}  // namespace rt::cpu
