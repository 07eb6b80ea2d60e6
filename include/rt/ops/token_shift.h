#pragma once
#include <array>
#include <span>

#include "rt/autograd/tape.h"
#include "rt/ops/op.h"

namespace rt {

// Token shift: each projection of an RWKV layer reads its own blend of this token and the previous one
// (reference rwkv.md 1.4; gradients 1.8).
//   prev[t] = 0 where reset[t], else x[t-1]; prev[0] = shift_state, or 0 without one
//   y_n[t]  = x[t] + (prev[t] - x[t]) * mix_n              the new state is x[T-1]
// RWKV-4 and 5 checkpoints store 1 - mix. Backward reads x, the mixes and the old state; nothing else is
// saved. The state given and the state returned may be the same memory only when T is 1.
inline constexpr std::size_t kMaxTokenShifts = 8;
using TokenShiftViews = std::array<TensorView, kMaxTokenShifts>;

struct TokenShiftArgs {
  TensorView x;            // (B, T, C)
  std::size_t count;       // of mixes
  TokenShiftViews mix;     // C elements each
  TensorView shift_state;  // (B, C) in x's dtype; may be empty
  TensorView reset;        // (B, T) u8; may be empty
};
struct TokenShiftOuts {
  TokenShiftViews y;  // (B, T, C) each
  TensorView state;   // (B, C)
};
struct TokenShiftOutGrads {
  TokenShiftViews y;
  TensorView state;
};
struct TokenShiftGrads {
  GradSlot x;
  std::array<GradSlot, kMaxTokenShifts> mix;
  GradSlot shift_state;
};

using TokenShiftKernels = OpKernels<TokenShiftArgs, TokenShiftOuts, TokenShiftOutGrads, TokenShiftGrads>;
const OpTable<TokenShiftKernels>& token_shift_table();

struct TokenShiftResult {
  VarList y;  // one per mix
  Var state;
};
// Without recording, with T == 1 and a state, the state is updated in place and returned.
TokenShiftResult token_shift(Tape& tape, Var x, std::span<const Var> mixes, Var shift_state, Var reset);

namespace ref {
void token_shift_forward(ExecContext&, const TokenShiftArgs&, const TokenShiftOuts&);
void token_shift_backward(ExecContext&, const TokenShiftArgs&, const TokenShiftOuts&,
                          const TokenShiftOutGrads&, const TokenShiftGrads&);
}  // namespace ref
namespace cpu {
void token_shift_forward(ExecContext&, const TokenShiftArgs&, const TokenShiftOuts&);
void token_shift_backward(ExecContext&, const TokenShiftArgs&, const TokenShiftOuts&,
                          const TokenShiftOutGrads&, const TokenShiftGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void token_shift_forward(ExecContext&, const TokenShiftArgs&, const TokenShiftOuts&);
RT_CUDA void token_shift_backward(ExecContext&, const TokenShiftArgs&, const TokenShiftOuts&,
                                  const TokenShiftOutGrads&, const TokenShiftGrads&);
}  // namespace cuda

}  // namespace rt
