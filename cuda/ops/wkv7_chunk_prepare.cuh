#pragma once
#include "cuda/ops/wkv7_chunk.cuh"

// What the state does not enter: a warp turns a chunk's inputs into Q, A, K, B and the matrices of pairs, on
// its own. Blocks that carry a state have kPreparers such warps, each with every kPreparers-th chunk, one
// group of chunks ahead of the warps that carry.
namespace rt::cuda::wkv7_impl {

constexpr int kPreparers = 4, kPrepareThreads = 32 * kPreparers;

// Forward: all of it. Carry: no Q (nor its pairs), for the state alone. Reverse: no K and V, but dY.
enum class Pass : std::uint8_t { Forward, Carry, Reverse };

// A chunk in shared memory: tiles, matrices of pairs, and what its decays come to.
template <Pass P>
struct Chunk {
  static constexpr bool kHasQ = P != Pass::Carry, kHasK = P != Pass::Reverse;
  static constexpr int kTiles = 3 + (kHasQ ? 1 : 0) + (kHasK ? 1 : 0), kPairs = kTile + 3 * kN;
  static constexpr int kSize = kTiles * kTile + kPairs;  // bf16 elements
  static_assert(kSize % kN == 0, "rows of tiles begin at multiples of 128 bytes");
  bf16_t* base;

  __device__ __forceinline__ bf16_t* a() const { return base; }
  __device__ __forceinline__ bf16_t* b() const { return base + kTile; }
  __device__ __forceinline__ bf16_t* values() const { return base + 2 * kTile; }  // V, or dY in reverse
  __device__ __forceinline__ bf16_t* q() const { return base + 3 * kTile; }
  __device__ __forceinline__ bf16_t* k() const { return base + (kHasQ ? 4 : 3) * kTile; }
  // First w, then Aab in f32, then the matrices.
  __device__ __forceinline__ bf16_t* pairs() const { return base + kTiles * kTile; }
  __device__ __forceinline__ bf16_t* inv() const { return pairs() + 3 * kPair; }
  __device__ __forceinline__ bf16_t* qb() const { return pairs(); }
  __device__ __forceinline__ bf16_t* ak() const { return pairs() + kPair; }
  __device__ __forceinline__ bf16_t* qk() const { return pairs() + 2 * kPair; }
  __device__ __forceinline__ float* last() const {
    return reinterpret_cast<float*>(pairs() + kTile);
  }  // P_last
  __device__ __forceinline__ unsigned& starts() const {
    return *reinterpret_cast<unsigned*>(pairs() + kTile + 2 * kN);
  }
};
static_assert(sizeof(float) * kAb <= sizeof(bf16_t) * 3 * kPair, "Aab lies before inv");

// `groups` of kPreparers chunks each in shared memory.
template <Pass P>
constexpr std::size_t chunk_bytes(int groups) {
  return sizeof(bf16_t) * Chunk<P>::kSize * kPreparers * groups;
}

// Scales the tiles in place; w lies where the pairs will.
template <Pass P>
__device__ __forceinline__ void make_operands(const Chunk<P>& x, int live) {
  for (int t = live > 0 ? live : 0; t < kTokens; ++t)
    put2(x.pairs() + tile_at(t, 2 * lane_id()), kNoDecay, kNoDecay);
  float2 g = make_float2(0, 0), before = make_float2(1, 1);  // -log2 P, P-
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const int at = tile_at(t, 2 * lane_id());
    const float2 w = get2(x.pairs() + at);
    g.x += rate_of(w.x).log2;
    g.y += rate_of(w.y).log2;
    const float2 p = make_float2(exp2_fast(-g.x), exp2_fast(-g.y));
    const float2 up = make_float2(exp2_fast(g.x), exp2_fast(g.y));
    scale2(x.a() + at, before);
    scale2(x.b() + at, up);
    if constexpr (Chunk<P>::kHasQ) scale2(x.q() + at, p);
    if constexpr (Chunk<P>::kHasK) scale2(x.k() + at, up);
    before = p;
  }
  *reinterpret_cast<float2*>(x.last() + 2 * lane_id()) = before;
}

template <Pass P>
__device__ __forceinline__ void make_pairs(const Chunk<P>& x, const Starts& starts) {
  float ab[2][4], ak[2][4], qb[2][4], qk[2][4];
  clear(ab);
  clear(ak);
  clear(qb);
  clear(qk);
#pragma unroll
  for (int i = 0; i < kN; i += 16) {
    unsigned a[4], b[4], q[4], k[4];
    load_a(a, x.a(), 0, i);
    load_b(b, x.b(), 0, i);
    multiply(ab, a, b);
    if constexpr (Chunk<P>::kHasQ) {
      load_a(q, x.q(), 0, i);
      multiply(qb, q, b);
    }
    if constexpr (Chunk<P>::kHasK) {
      load_b(k, x.k(), 0, i);
      multiply(ak, a, k);
      if constexpr (Chunk<P>::kHasQ) multiply(qk, q, k);
    }
  }
  float* const f32 = reinterpret_cast<float*>(x.pairs());
  keep_lower(ab, true);
  keep_lower(ak, true);
  keep_lower(qb, false);
  keep_lower(qk, false);
  put_ab(f32, ab);
  if (starts.any()) part_ab(f32, 0, starts);
  __syncwarp();
  invert(f32, x.inv());
  __syncwarp();  // Aab is read
  if constexpr (Chunk<P>::kHasQ) put_pairs(x.qb(), qb);
  if constexpr (Chunk<P>::kHasK) put_pairs(x.ak(), ak);
  if constexpr (P == Pass::Forward) put_pairs(x.qk(), qk);
  if (!starts.any()) return;
  if constexpr (Chunk<P>::kHasQ) part_pairs(x.qb(), 0, 0, starts);
  if constexpr (Chunk<P>::kHasK) part_pairs(x.ak(), 0, 0, starts);
  if constexpr (P == Pass::Forward) part_pairs(x.qk(), 0, 0, starts);
}

// By one warp, for the 16 tokens from t0 on; others may read x after a barrier. dy: null is zero.
template <Pass P>
__device__ __forceinline__ void prepare_chunk(const Inputs<bf16_t>& in, const bf16_t* dy, int head,
                                              std::int64_t t0, const Chunk<P>& x) {
  const int live = static_cast<int>(in.T_ - t0 < kTokens ? in.T_ - t0 : kTokens);
  const RowCopies<4, 32> rows(in.first(head) + t0 * in.C, in.C, live);
  rows.request(x.pairs(), in.w, live);
  rows.request(x.a(), in.a, live);
  rows.request(x.b(), in.b, live);
  if constexpr (Chunk<P>::kHasQ) rows.request(x.q(), in.r, live);
  if constexpr (Chunk<P>::kHasK) {
    rows.request(x.k(), in.k, live);
    rows.request(x.values(), in.v, live);
  } else {
    rows.request(x.values(), dy ? dy : in.w, dy ? live : 0);
  }
  cp_async_commit();
  const Starts starts = starts_of(start_here(in, head, t0, kTokens));
  if (lane_id() == 0) x.starts() = starts.bits;
  cp_async_wait<0>();
  __syncwarp();
  make_operands(x, live);
  __syncwarp();
  make_pairs(x, starts);
}

}  // namespace rt::cuda::wkv7_impl
