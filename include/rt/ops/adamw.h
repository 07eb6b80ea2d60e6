#pragma once
#include "rt/core/rng.h"
#include "rt/ops/op.h"

namespace rt {

// What changes from step to step; lives on the device, so that a captured graph stays valid.
struct StepScalars {
  float lr;
  float bias1, bias2;  // 1 - beta^t, computed in double
  float grad_scale;    // clipping and loss scale
  std::uint64_t step;
  Rng rounding{};            // of this step's bf16 moments
  std::uint32_t halted = 0;  // not 0: nothing is updated (rt/ops/step_control.h)
  double predictions = 0;    // of the step, by this process: its losses are sums over as many
};

// AdamW with decoupled weight decay (Loshchilov & Hutter 2019) over one flat range, in one pass:
//   g = grad * grad_scale;   m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
//   p -= lr * lr_scale * ((m / bias1) / (sqrt(v / bias2) + eps) + weight_decay * p)
// RWKV's eps of 1e-18 (reference rwkv.md 3.4) makes the update independent of the gradient's scale down to
// about 1e-18: v is then far below float's smallest normal, so denormals must not be flushed. m = v = 0
// leaves only the decay.
//
// Moments in bf16 take half the memory. p is updated by the new m and v in f32; what is kept of these is
// rounded up or down at random (round_stochastic), without which v, changing by 1% a step, would stand still.
// Element i, counted from the first trainable one, draws from word i % 4 of
//   philox(rounding.seed, rounding.stream, i / 4)
// its lower half for m and its upper half for v: results depend neither on threads, grids nor groups.
struct AdamwArgs {
  TensorView master;  // (n) f32 (f64 for Ref), as is grad
  TensorView m, v;    // (n) dtype of master, or bf16 beside f32
  TensorView grad;
  TensorView value;  // (n) compute copy: the same memory as master, or bf16, rounded from it
  const StepScalars* scalars;
  double beta1, beta2, eps;
  double lr_scale, weight_decay;
  std::int64_t begin = 0;  // index of the range's first element; a multiple of 4
};

struct AdamwKernels {
  void (*forward)(ExecContext&, const AdamwArgs&) = nullptr;
};
const OpTable<AdamwKernels>& adamw_table();

void adamw(ExecContext& ctx, const AdamwArgs& args);

namespace ref {
void adamw(ExecContext&, const AdamwArgs&);
}
namespace cpu {
void adamw(ExecContext&, const AdamwArgs&);
}
namespace cuda {
RT_CUDA void adamw(ExecContext&, const AdamwArgs&);
}

}  // namespace rt
