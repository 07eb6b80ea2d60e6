#pragma once
#include "rt/autograd/tape.h"
#include "rt/ops/op.h"

namespace rt {

// What RWKV-7 does to the key before the recurrence (reference rwkv.md 1.4; gradients 1.8). Per head of N
// channels, with u = k * k_k:
//   kappa = u / max(|u|, 1e-12)
//   k' = k * (1 + (rate - 1) * k_a),   a = -kappa,   b = kappa * rate
// `rate` is the in-context learning rate, in (0, 1). Backward forms the norms again; nothing is saved.
struct KeyPrepareArgs {
  TensorView k, rate;   // (..., C)
  TensorView k_k, k_a;  // C elements each
  std::int64_t head_size;
};
struct KeyPrepareOuts {
  TensorView k, a, b;  // (..., C)
};
struct KeyPrepareOutGrads {
  TensorView k, a, b;
};
struct KeyPrepareGrads {
  GradSlot k, rate, k_k, k_a;
};
inline constexpr double kMinKeyNorm = 1e-12;

using KeyPrepareKernels = OpKernels<KeyPrepareArgs, KeyPrepareOuts, KeyPrepareOutGrads, KeyPrepareGrads>;
const OpTable<KeyPrepareKernels>& key_prepare_table();

struct KeyPrepared {
  Var k, a, b;
};
// head_size: a multiple of 16.
KeyPrepared key_prepare(Tape& tape, Var k, Var rate, Var k_k, Var k_a, std::int64_t head_size);

namespace ref {
void key_prepare_forward(ExecContext&, const KeyPrepareArgs&, const KeyPrepareOuts&);
void key_prepare_backward(ExecContext&, const KeyPrepareArgs&, const KeyPrepareOuts&,
                          const KeyPrepareOutGrads&, const KeyPrepareGrads&);
}  // namespace ref
namespace cpu {
void key_prepare_forward(ExecContext&, const KeyPrepareArgs&, const KeyPrepareOuts&);
void key_prepare_backward(ExecContext&, const KeyPrepareArgs&, const KeyPrepareOuts&,
                          const KeyPrepareOutGrads&, const KeyPrepareGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void key_prepare_forward(ExecContext&, const KeyPrepareArgs&, const KeyPrepareOuts&);
RT_CUDA void key_prepare_backward(ExecContext&, const KeyPrepareArgs&, const KeyPrepareOuts&,
                                  const KeyPrepareOutGrads&, const KeyPrepareGrads&);
}  // namespace cuda

}  // namespace rt
