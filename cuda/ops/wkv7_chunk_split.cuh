#pragma once
#include "cuda/ops/wkv7_chunk_state.cuh"

// Few heads and a long sequence leave most of a GPU idle, so the sequence is cut into segments (wkv7_split).
// What a segment does to the state is affine: S -> S M + E. A first pass forms E and M of each segment (E
// from a zero state; M from the identity, without v), which give the state at each cut; backward takes the
// same M.
namespace rt::cuda::wkv7_impl {

// What a block of a split launch works on. cuts: (heads, count - 1, N, N), S after or dS before each segment
// but the last or first; null when there is one segment.
struct Segment {
  std::int64_t length;
  const float* cuts;
  __device__ __forceinline__ const float* cut(int head, int index) const {
    return cuts + (static_cast<std::int64_t>(head) * (gridDim.y - 1) + index) * kN * kN;
  }
};

// Host: the cuts of a forward pass in ctx.scratch, or an empty view when there is one segment; computed
// unless ctx.dry_run. The maps go to `maps` unless that is empty. And the cuts of a backward pass.
TensorView forward_cuts(ExecContext&, const Wkv7Args&, const Wkv7Split&, TensorView maps);
TensorView backward_cuts(ExecContext&, const Wkv7Args&, const Wkv7OutGrads&, const Wkv7Split&,
                         const TensorView& maps);

}  // namespace rt::cuda::wkv7_impl
