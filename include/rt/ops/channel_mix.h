#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

// The feed-forward part of RWKV-7 (reference rwkv.md 1.4), F usually 4 C:
//   h = x key^T,   act = relu(h)^2,   y = act value^T.
// Only act is saved: d act / d h = 2 relu(h) = 2 sqrt(act) (rwkv.md 1.8). Sums in f32 (f64 for Ref).
struct ChannelMixArgs {
  TensorView x;      // (..., C)
  TensorView key;    // (F, C)
  TensorView value;  // (C, F)
};
struct ChannelMixOuts {
  TensorView y;    // (..., C)
  TensorView act;  // (..., F), dtype of x; may be empty when nothing is recorded
};
struct ChannelMixOutGrads {
  TensorView y;
};
struct ChannelMixGrads {
  GradSlot x, key, value;
};

using ChannelMixKernels = OpKernels<ChannelMixArgs, ChannelMixOuts, ChannelMixOutGrads, ChannelMixGrads>;
const OpTable<ChannelMixKernels>& channel_mix_table();

Var channel_mix(Tape& tape, Var x, Var key, Var value);

namespace ref {
void channel_mix_forward(ExecContext&, const ChannelMixArgs&, const ChannelMixOuts&);
void channel_mix_backward(ExecContext&, const ChannelMixArgs&, const ChannelMixOuts&,
                          const ChannelMixOutGrads&, const ChannelMixGrads&);
}  // namespace ref
namespace cpu {
void channel_mix_forward(ExecContext&, const ChannelMixArgs&, const ChannelMixOuts&);
void channel_mix_backward(ExecContext&, const ChannelMixArgs&, const ChannelMixOuts&,
                          const ChannelMixOutGrads&, const ChannelMixGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void channel_mix_forward(ExecContext&, const ChannelMixArgs&, const ChannelMixOuts&);
RT_CUDA void channel_mix_backward(ExecContext&, const ChannelMixArgs&, const ChannelMixOuts&,
                                  const ChannelMixOutGrads&, const ChannelMixGrads&);
}  // namespace cuda

}  // namespace rt
