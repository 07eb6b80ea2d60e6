#pragma once
#include "rt/autograd/parameter.h"
#include "rt/autograd/tape.h"
#include "rt/core/time_slices.h"
#include "rt/ops/op.h"

namespace rt {

// Recurrences over a sequence whose slices of time lie in several processes (ExecContext::slices). What a
// slice does to a state is affine: per head, S at its end is S M + E of the S (N, N) at its beginning. So
// each process finds M and E of its own slice, from the identity and from zero, all exchange them once, and
// each then knows where its slice begins; gradients of states go the same way back: reference
// mamba_and_kernels.md 3.9, where the slices are blocks of one device.

// state M + shift, or with `transposed` state M^T + shift, in the accumulation dtype.
struct AffineStateArgs {
  TensorView state;  // (..., N, N); empty: zero
  TensorView map;    // as state; empty when state is
  TensorView shift;  // (..., N, N); empty: the identity
  bool transposed = false;
};
struct AffineStateOuts {
  TensorView state;  // (..., N, N), not the memory of an argument
};
struct AffineStateKernels {
  void (*forward)(ExecContext&, const AffineStateArgs&, const AffineStateOuts&) = nullptr;
};
const OpTable<AffineStateKernels>& affine_state_table();
void affine_state(ExecContext& ctx, const AffineStateArgs& args, const TensorView& out);

// maps (2, ..., N, N): M and E of this slice. Into all (size, 2, ..., N, N), of every slice.
void gather_maps(ExecContext& ctx, const TensorView& maps, const TensorView& all);
// The state that this slice begins with.
void state_before(ExecContext& ctx, const TensorView& all, const TensorView& out);
// The gradient of the state that this slice ends with, which comes from later ones. `mine`: of the one that
// it begins with, as far as this slice knows.
void gradient_after(ExecContext& ctx, const TensorView& all, const TensorView& mine, const TensorView& out);

// (B, C): the last token of the slice before this one's, of x (B, T, C); zeros in the first.
Var token_before(Tape& tape, Var x);
// `given`, or token_before() where there are slices, or nothing.
Var shift_state_of(Tape& tape, Var x, Var given);

namespace ref {
void affine_state(ExecContext&, const AffineStateArgs&, const AffineStateOuts&);
}
namespace cpu {
void affine_state(ExecContext&, const AffineStateArgs&, const AffineStateOuts&);
}
namespace cuda {
RT_CUDA void affine_state(ExecContext&, const AffineStateArgs&, const AffineStateOuts&);
}

}  // namespace rt
