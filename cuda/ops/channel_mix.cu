#include "rt/ops/channel_mix.h"

#include "cuda/core/gemm.h"
#include "cuda/core/map.cuh"

namespace rt::cuda {
namespace {

struct ReluSquared {
  __device__ float operator()(float h, float) const { return h < 0 ? 0 : h * h; }  // NaN stays
};

// d act becomes d h.
struct TimesDerivative {
  __device__ float operator()(float dact, float act) const { return dact * (2 * sqrtf(act)); }
};

Shape inner_shape(const ChannelMixArgs& a) {
  Shape shape = a.x.shape;
  shape[shape.rank() - 1] = a.key.shape[0];
  return shape;
}

}  // namespace

void channel_mix_forward(ExecContext& ctx, const ChannelMixArgs& a, const ChannelMixOuts& o) {
  const ArenaScope scope(ctx.scratch);
  const TensorView act = o.act ? o.act : ctx.scratch.alloc(inner_shape(a), a.x.dtype, "channel_mix.act");
  matmul(ctx, a.x, a.key, true, act, false);
  map(ctx, "channel_mix_relu_squared_kernel", ReluSquared{}, act, act, act);
  matmul(ctx, act, a.value, true, o.y, false);
}

void channel_mix_backward(ExecContext& ctx, const ChannelMixArgs& a, const ChannelMixOuts& o,
                          const ChannelMixOutGrads& dout, const ChannelMixGrads& g) {
  const ArenaScope scope(ctx.scratch);
  matmul_weight_grad(ctx, dout.y, o.act, g.value);
  if (!g.x && !g.key) return;
  const TensorView dh = ctx.scratch.alloc(inner_shape(a), o.act.dtype, "channel_mix.dh");
  matmul(ctx, dout.y, a.value, false, dh, false);
  map(ctx, "channel_mix_derivative_kernel", TimesDerivative{}, dh, o.act, dh);
  matmul_weight_grad(ctx, dh, a.x, g.key);
  if (g.x) matmul(ctx, dh, a.key, false, g.x.view, g.x.mode == GradMode::Accumulate);
}

}  // namespace rt::cuda
