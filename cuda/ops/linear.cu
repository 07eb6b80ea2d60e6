#include "rt/ops/linear.h"

#include "cuda/core/gemm.h"

namespace rt::cuda {

void linear_forward(ExecContext& ctx, const LinearArgs& a, const LinearOuts& o) {
  matmul(ctx, a.x, a.weight, true, o.y, false);
}

void linear_backward(ExecContext& ctx, const LinearArgs& a, const LinearOuts&, const LinearOutGrads& dout,
                     const LinearGrads& g) {
  if (g.x) matmul(ctx, dout.y, a.weight, false, g.x.view, g.x.mode == GradMode::Accumulate);
  matmul_weight_grad(ctx, dout.y, a.x, g.weight);
}

}  // namespace rt::cuda
