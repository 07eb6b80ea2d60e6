#pragma once
#include <algorithm>

#include "cuda/ops/wkv7_chunk_scores.cuh"
#include "cuda/ops/wkv7_chunk_state.cuh"

// One chunk's part of the recurrence for a warp's 16 values, forward and backward, and the sequence cut into
// segments.
namespace rt::cuda::wkv7_impl {

// Few heads and a long sequence leave most of a GPU idle, so the sequence is cut into segments that run side
// by side. What a segment does to the state is affine: S -> S M + E. A first pass forms E and M of each
// segment (E from a zero state; M from the identity, without v), which give the state at each cut; that is
// again as much work as one pass forward, about. A function of the shapes alone, so bits do not depend on the
// device.
struct Split {
  int count;
  std::int64_t length;  // tokens of a segment but the last, a multiple of kWkv7Chunk
};
inline Split split_of(std::int64_t heads, std::int64_t T) {
  constexpr std::int64_t kBlocks = 128, kShortest = 128, kMost = 16;
  const std::int64_t wanted = std::min({kBlocks / heads, T / kShortest, kMost});
  if (wanted < 3) return {1, (T + kWkv7Chunk - 1) / kWkv7Chunk * kWkv7Chunk};
  const std::int64_t length = ((T + wanted - 1) / wanted + kWkv7Chunk - 1) / kWkv7Chunk * kWkv7Chunk;
  return {static_cast<int>((T + length - 1) / length), length};
}
// What a block of a split launch works on. cuts: (heads, count - 1, N, N), S after or dS before each segment
// but the last or first; null when there is one segment.
struct Segment {
  std::int64_t length;
  const float* cuts;
  __device__ __forceinline__ const float* cut(int head, int index, int N) const {
    return cuts + (static_cast<std::int64_t>(head) * (gridDim.y - 1) + index) * N * N;
  }
};

// U of a chunk to shared memory unless u_tile is null, S advanced over it if asked to. Without_v: as if v
// were zero.
template <int N, bool Raw>
__device__ __forceinline__ void recompute_chunk(const Operands<N, Raw>& x, const RawTile<N> raw,
                                                const Starts& starts, bool steep, const Scores& scores,
                                                float* ab, bf16_t* u_tile, bool advance, bool without_v,
                                                State<N>& S) {
  const int value = warp_id() * 16;
  if (steep) {
    make_steep_scores<N, Raw>(raw, x.sum, starts, scores, ab);
  } else {
    make_scores(x, starts, scores, ab);
  }
  float z[2][4];
  clear(z);
  unsigned s[N / 16][4], v[4], f[4];
  S.as_operand(s);
  add_state_product<N>(z, s, x.a);
  if (starts.any()) {
    keep_columns(z, starts.seeing());
    S.zero();
  }
  __syncthreads();
  if (warp_id() == 0) invert(ab, scores.inv);
  load_a_transposed(v, raw.v() + value, kLd<N>);
  if (without_v) keep_columns(v, 0);
  load_b(f, scores.ak, kPairLd);
  multiply(z[0], z[1], v, f);
  as_a(s[0], z[0], z[1]);
  __syncthreads();
  clear(z);
  load_b(f, scores.inv, kPairLd);
  multiply(z[0], z[1], s[0], f);
  if (u_tile) put_transposed(u_tile + value, kLd<N>, z);
  if (!advance) return;
  as_a(s[0], z[0], z[1]);
  if (starts.any()) {
    keep_columns(v, starts.seen());
    keep_columns(s[0], starts.seen());
  }
  if (steep) S.scale(x.last);
  S.add(v, x.k);
  S.add(s[0], x.b);
  if (!steep) S.scale(x.last);
}

// Where the gradients of a chunk go besides dS.
template <int N>
struct ValueGradients {
  bf16_t *dx, *dstate;  // tiles: dX [token][value]; dS' [value][key], times P_last unless steep, as K and B
                        // go with it
  bf16_t* stage;        // the warp's own, for dv
  const Out<bf16_t>& dv;
  std::int64_t at, C;  // of the chunk's first token, from there on
  int live;
};

// dU, dX, dv, and dS carried over the chunk. to: null for dS alone.
template <int N, bool Raw>
__device__ __forceinline__ void backward_values(const Operands<N, Raw>& x, const RawTile<N> raw,
                                                const Starts& starts, bool steep, const Scores& scores,
                                                const ValueGradients<N>* to, State<N>& dS) {
  const int value = warp_id() * 16;
  if (!steep) dS.scale(x.last);
  if (to) dS.put(to->dstate);
  unsigned s[N / 16][4], dy[4], dx[4], f[4];
  dS.as_operand(s);
  float du[2][4], dv[2][4], c[2][4];
  clear(du);
  clear(dv);
  clear(c);
  add_state_product<N>(du, s, x.b);
  if (to) add_state_product<N>(dv, s, x.k);
  if (starts.any()) {
    keep_columns(du, starts.seen());
    keep_columns(dv, starts.seen());
    dS.zero();
  }
  load_a_transposed(dy, raw.dy() + value, kLd<N>);
  load_b_transposed(f, scores.qb, kPairLd);
  multiply(du[0], du[1], dy, f);
  as_a(dx, du[0], du[1]);
  load_b_transposed(f, scores.inv, kPairLd);
  multiply(c[0], c[1], dx, f);
  as_a(dx, c[0], c[1]);
  if (to) {
    put_transposed(to->dx + value, kLd<N>, c);
    load_b_transposed(f, scores.qk, kPairLd);
    multiply(dv[0], dv[1], dy, f);
    load_b_transposed(f, scores.ak, kPairLd);
    multiply(dv[0], dv[1], dx, f);
    if (to->dv.data) write_rows(to->stage, dv, to->dv, to->at, to->C, to->live);
  }
  if (steep) dS.scale(x.last);
  if (starts.any()) {
    keep_columns(dy, starts.seeing());
    keep_columns(dx, starts.seeing());
  }
  dS.add(dy, x.q);
  dS.add(dx, x.a);
}

// Host: the cuts of a forward pass in ctx.scratch, or an empty view when there is one segment; computed
// unless ctx.dry_run. And those of a backward pass.
TensorView forward_cuts(ExecContext&, const Wkv7Args&, const Split&);
TensorView backward_cuts(ExecContext&, const Wkv7Args&, const Wkv7OutGrads&, const Split&);

}  // namespace rt::cuda::wkv7_impl
