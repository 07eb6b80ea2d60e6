#pragma once
#include <algorithm>

#include "rt/autograd/parameter.h"
#include "rt/autograd/tape.h"
#include "rt/ops/op.h"

namespace rt {

// The recurrence of RWKV-7 "Goose" (reference rwkv.md 1.4, exact gradients 2.1). Per head of size N, with the
// state S (value index i, key index j) and C = H * N channels per token:
//   sa_t[i] = sum_j S[i,j] a_t[j]
//   S[i,j] <- S[i,j] d_t[j] + sa_t[i] b_t[j] + v_t[i] k_t[j]
//   y_t[i]  = sum_j S[i,j] r_t[j]                                   (the updated S)
// reset[b,t] != 0 zeroes S before token t: nothing, gradients included, crosses a document start. State and
// arithmetic are f32 (f64 for Ref), but where wkv7_saved names BF16 states products are of operands rounded
// to bf16. The decay may be arbitrarily strong.
enum class Wkv7Decay : std::uint8_t {
  Raw,      // d = exp(-exp(w))
  Clamped,  // d = exp(-exp(-0.5) * sigmoid(w)), in (0.5452, 1): the official model
};

// Backward restarts from a saved state every so many tokens. Results do not depend on it.
inline constexpr std::int64_t kWkv7Chunk = 32;

// The chunk-parallel CUDA kernels cut a long sequence of few heads into segments that run side by side.
// A function of the shapes alone, so that bits do not depend on the device.
struct Wkv7Split {
  std::int64_t count;   // segments
  std::int64_t length;  // tokens of each but the last, a multiple of kWkv7Chunk
};
constexpr Wkv7Split wkv7_split(std::int64_t heads, std::int64_t T) {
  constexpr std::int64_t kBlocks = 264, kShortest = 128, kMost = 32;
  const auto whole = [](std::int64_t n) { return (n + kWkv7Chunk - 1) / kWkv7Chunk * kWkv7Chunk; };
  const std::int64_t wanted = std::min({kBlocks / heads, T / kShortest, kMost});
  if (wanted < 4) return {1, whole(T)};
  const std::int64_t length = whole((T + wanted - 1) / wanted);
  return {(T + length - 1) / length, length};
}

// What a forward pass that is recorded keeps for backward, by implementation and storage type.
struct Wkv7Saved {
  bool sa, states, maps;
  DType dtype;  // of the states; BF16 ones are in an order of the kernels' own
};
constexpr Wkv7Saved wkv7_saved(Impl impl, DType storage, std::int64_t head_size, Wkv7Decay decay) {
  if (impl == Impl::Ref) return {false, false, false, DType::F64};
  // The chunk-parallel CUDA kernels, which form sa again.
  if (impl == Impl::Cuda && storage == DType::BF16 && head_size == 64 && decay == Wkv7Decay::Clamped)
    return {false, true, true, DType::BF16};
  return {true, true, false, DType::F32};
}

struct Wkv7Args {
  TensorView r, w, k, v, a, b;  // (B, T, C); w is the raw decay
  TensorView s0;                // (B, H, N, N) accumulation dtype; empty: zero
  TensorView reset;             // (B, T) u8; empty: none
  std::int64_t head_size;       // N: a multiple of 16 from 16 to 256
  Wkv7Decay decay;
};
struct Wkv7Outs {
  TensorView y;      // (B, T, C)
  TensorView state;  // (B, H, N, N) accumulation dtype; in step the same memory as s0
  // For backward; empty when nothing is recorded, or as wkv7_saved says.
  TensorView sa;            // (B, T, C) f32
  TensorView chunk_states;  // (B, H, chunks - 1, N, N), S before each chunk but the first; empty if only one
  TensorView maps;  // (B, H, segments - 1, N, N) f32, M of S -> S M + E over a segment; empty if only one
};
struct Wkv7OutGrads {
  TensorView y, state;
};
struct Wkv7Grads {
  GradSlot r, w, k, v, a, b, s0;
};

using Wkv7Kernels = OpKernels<Wkv7Args, Wkv7Outs, Wkv7OutGrads, Wkv7Grads>;
const OpTable<Wkv7Kernels>& wkv7_table();

struct Wkv7Result {
  Var y, state;
};
// s0 and reset may be absent. On a tape that does not record, with T == 1 and s0 present, the state is
// updated in place in s0's memory and no new state is allocated: pass a copy where s0 must survive.
Wkv7Result wkv7(Tape& tape, Var r, Var w, Var k, Var v, Var a, Var b, Var s0, Var reset,
                std::int64_t head_size, Wkv7Decay decay);

namespace ref {
void wkv7_forward(ExecContext&, const Wkv7Args&, const Wkv7Outs&);
void wkv7_backward(ExecContext&, const Wkv7Args&, const Wkv7Outs&, const Wkv7OutGrads&, const Wkv7Grads&);
}  // namespace ref
namespace cpu {
void wkv7_forward(ExecContext&, const Wkv7Args&, const Wkv7Outs&);
void wkv7_backward(ExecContext&, const Wkv7Args&, const Wkv7Outs&, const Wkv7OutGrads&, const Wkv7Grads&);
void wkv7_step(ExecContext&, const Wkv7Args&, const Wkv7Outs&);
}  // namespace cpu
namespace cuda {
RT_CUDA void wkv7_forward(ExecContext&, const Wkv7Args&, const Wkv7Outs&);
RT_CUDA void wkv7_backward(ExecContext&, const Wkv7Args&, const Wkv7Outs&, const Wkv7OutGrads&,
                           const Wkv7Grads&);
RT_CUDA void wkv7_step(ExecContext&, const Wkv7Args&, const Wkv7Outs&);
}  // namespace cuda

}  // namespace rt
