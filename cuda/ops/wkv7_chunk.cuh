#pragma once
#include "cuda/ops/wkv7.cuh"

// The chunk-parallel kernels of wkv7: bf16, head size 64, decays that the model bounds (Wkv7Decay::Clamped).
// The delta rule's WY form makes 16 tokens small matrix products in bf16 with f32 sums. With P_t the product
// of the chunk's decays up to token t, P-_t up to the token before, and rows as time,
//   Q = r P    A = a P-    K = k / P    B = b / P
//   Aqk = tril(Q K')   Aqb = tril(Q B')   Aak = tril(A K', -1)   Aab = tril(A B', -1)
//   Z = A S' + Aak V   U = (I - Aab)^-1 Z   (the rows of U are the sa_t)
//   Y = Q S' + Aqk V + Aqb U      S <- (S + V' K + U' B) P_last
// A decay is above 0.545, so 1 / P is below 2^14 in a chunk and 2^28 in an interval of two. A document start
// inside masks the pairs it parts; tokens past the end do nothing (decay 1).
//
// Passes: forward and reverse carry the state from chunk to chunk, a block per head, in which some warps
// prepare chunks (wkv7_chunk_prepare.cuh) while others carry (wkv7_chunk_state.cuh); both leave what they
// carry at every kWkv7Chunk tokens, and all gradients of an interval between two of those follow from it, an
// interval per block (wkv7_chunk_gradients.cu).
namespace rt::cuda::wkv7_impl {

using bf16_t = __nv_bfloat16;
constexpr int kN = 64;       // head size
constexpr int kTokens = 16;  // of a chunk
constexpr int kInterval = static_cast<int>(kWkv7Chunk);
static_assert(kInterval == 2 * kTokens);

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x % 32); }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x / 32); }

// ---- bf16 matrices in shared memory ----
// A tile has rows of kN: the 16-byte pieces of row i are permuted by i % 8, so that eight rows' pieces of one
// column, as of ldmatrix, lie in different banks. A pair matrix is 16 x 16, its two pieces permuted alike.
constexpr int kTile = kTokens * kN, kPair = kTokens * kTokens;
__device__ __forceinline__ int tile_at(int row, int column) {
  return row * kN + ((column / 8 ^ row % 8) * 8 + column % 8);
}
__device__ __forceinline__ int pair_at(int row, int column) {
  return row * kTokens + ((column / 8 ^ row / 4 % 2) * 8 + column % 8);
}
__device__ __forceinline__ float2 get2(const bf16_t* x) {
  return unpack2(*reinterpret_cast<const unsigned*>(x));
}
__device__ __forceinline__ void put2(bf16_t* to, float x, float y) {
  *reinterpret_cast<unsigned*>(to) = pack2(x, y);
}
__device__ __forceinline__ void scale2(bf16_t* p, const float2& by) {
  const float2 v = get2(p);
  put2(p, v.x * by.x, v.y * by.y);
}

// Asynchronous copies of a tile's rows by Threads threads, 16 bytes of Count rows each: from where in a
// tensor (from `at` on, of head 0's token 0 there), and where in a tile.
template <int Count, int Threads>
struct RowCopies {
  std::int64_t from[Count];
  int to[Count], row;
  __device__ __forceinline__ RowCopies(std::int64_t at, std::int64_t C, int live)
      : row(static_cast<int>(threadIdx.x % Threads / 8)) {
    const int piece = static_cast<int>(threadIdx.x % 8) * 8;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const int r = row + i * (Threads / 8);
      from[i] = r < live ? at + r * C + piece : 0;
      to[i] = tile_at(r, piece);
    }
  }
  // Rows from `live` on become zero; their offset is that of some element.
  __device__ __forceinline__ void request(bf16_t* tile, const bf16_t* tensor, int live) const {
#pragma unroll
    for (int i = 0; i < Count; ++i)
      cp_async16_or_zero(tile + to[i], tensor + from[i], row + i * (Threads / 8) < live);
  }
};

// ---- fragments of mma.m16n8k16 from tiles; row and column are multiples of 16 ----
// Where a lane's row of 8 elements is: rows 0 to 15 and then again a piece on, or 0 to 7 twice and then 8 to
// 15 twice.
struct Rows {
  int down, across;
  __device__ __forceinline__ static Rows of_tile() {
    const int lane = lane_id(), row = lane % 8 + lane / 16 * 8;
    return {lane % 16 * kN + (lane / 16 ^ lane % 8) * 8, row * kN + (lane / 8 % 2 ^ lane % 8) * 8};
  }
  __device__ __forceinline__ static Rows of_pair() {
    const int lane = lane_id();
    return {pair_at(lane % 16, lane / 16 * 8), pair_at(lane % 8 + lane / 16 * 8, lane / 8 % 2 * 8)};
  }
};
// A (16 x 16) from [m][k], or from [k][m].
__device__ __forceinline__ void load_a(unsigned (&f)[4], const bf16_t* x, int row, int column) {
  ldmatrix_x4<false>(f, x + row * kN + (Rows::of_tile().down ^ column));
}
__device__ __forceinline__ void load_a_transposed(unsigned (&f)[4], const bf16_t* x, int row, int column) {
  ldmatrix_x4<true>(f, x + row * kN + (Rows::of_tile().across ^ column));
}
// B (16 x 16: two tiles of n) from [n][k], or from [k][n]. Tile u is f[2 u], f[2 u + 1].
__device__ __forceinline__ void load_b(unsigned (&f)[4], const bf16_t* x, int row, int column) {
  ldmatrix_x4<false>(f, x + row * kN + (Rows::of_tile().across ^ column));
}
__device__ __forceinline__ void load_b_transposed(unsigned (&f)[4], const bf16_t* x, int row, int column) {
  ldmatrix_x4<true>(f, x + row * kN + (Rows::of_tile().down ^ column));
}
// The same of a pair matrix.
__device__ __forceinline__ void load_a(unsigned (&f)[4], const bf16_t* pair) {
  ldmatrix_x4<false>(f, pair + Rows::of_pair().down);
}
__device__ __forceinline__ void load_a_transposed(unsigned (&f)[4], const bf16_t* pair) {
  ldmatrix_x4<true>(f, pair + Rows::of_pair().across);
}
__device__ __forceinline__ void load_b(unsigned (&f)[4], const bf16_t* pair) {
  ldmatrix_x4<false>(f, pair + Rows::of_pair().across);
}
__device__ __forceinline__ void load_b_transposed(unsigned (&f)[4], const bf16_t* pair) {
  ldmatrix_x4<true>(f, pair + Rows::of_pair().down);
}

// c (16 x 16, as two tiles of columns) += A B. Of c, lane 4 g + q holds rows g and g + 8, columns 2 q, 2 q
// + 1.
__device__ __forceinline__ void multiply(float (&c)[2][4], const unsigned (&a)[4], const unsigned (&b)[4]) {
  mma_m16n8k16_bf16(c[0], a, b[0], b[1]);
  mma_m16n8k16_bf16(c[1], a, b[2], b[3]);
}
__device__ __forceinline__ void clear(float (&c)[2][4]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) c[i / 4][i % 4] = 0;
}
// The accumulators of a 16 x 16 product as A of the next one.
__device__ __forceinline__ void as_a(unsigned (&f)[4], const float (&c0)[4], const float (&c1)[4]) {
  f[0] = pack2(c0[0], c0[1]);
  f[1] = pack2(c0[2], c0[3]);
  f[2] = pack2(c1[0], c1[1]);
  f[3] = pack2(c1[2], c1[3]);
}
__device__ __forceinline__ void as_a(unsigned (&f)[4], const float (&c)[2][4]) { as_a(f, c[0], c[1]); }
// An operand A (16 x 16) to a tile.
__device__ __forceinline__ void put_operand(bf16_t* x, const unsigned (&f)[4], int row, int column) {
  row += lane_id() / 4;
  column += lane_id() % 4 * 2;
#pragma unroll
  for (int i = 0; i < 4; ++i)
    *reinterpret_cast<unsigned*>(x + tile_at(row + i % 2 * 8, column + i / 2 * 8)) = f[i];
}

// ---- document starts: bit t set where token t begins one ----
struct Starts {
  unsigned bits;
  __device__ __forceinline__ bool any() const { return bits != 0; }
  // No start after token j up to token t, j < t.
  __device__ __forceinline__ bool joined(int t, int j) const {
    return (bits >> (j + 1) & ((1u << (t - j)) - 1u)) == 0;
  }
  // Tokens that see the state before the first; tokens the state after the last sees.
  __device__ __forceinline__ unsigned seeing() const { return bits == 0 ? ~0u : (bits & (0u - bits)) - 1u; }
  __device__ __forceinline__ unsigned seen() const {
    unsigned x = bits;
#pragma unroll
    for (int i = 1; i < 32; i *= 2) x |= x >> i;
    return ~(x >> 1);
  }
};
// Of up to 32 tokens, a lane per token: one byte to be loaded early, and what the warp's lanes make of it.
__device__ __forceinline__ bool start_here(const Inputs<bf16_t>& in, int head, std::int64_t t0, int tokens) {
  const std::int64_t t = t0 + lane_id();
  return lane_id() < tokens && t < in.T_ && in.is_reset(head, t);
}
__device__ __forceinline__ Starts starts_of(bool here) { return {__ballot_sync(kFullMask, here)}; }

// Tokens past the end get kNoDecay for w.
constexpr float kNoDecay = -1e30f;
// Of w: log2 of the decay times -1, and d log(decay) / dw, to some units in the last place of f32 however
// small.
struct Rate {
  float log2, slope;
};
__device__ __forceinline__ Rate rate_of(float w) {
  const float x = exp2_fast(fminf(-kLog2e * w, 100.0f)), s = rcp_fast(1 + x);  // s = sigmoid(w), x s = 1 - s
  const float rate = kClampScale * s;
  return {kLog2e * rate, -rate * (x * s)};
}

// Zeroes products of a token with a later one, where `strict` also with itself, in a block on the diagonal.
__device__ __forceinline__ void keep_lower(float (&c)[2][4], bool strict) {
  const int t = lane_id() / 4 + (strict ? 0 : 1), j = lane_id() % 4 * 2;
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if (j + e >= t) c[0][e] = c[1][2 + e] = 0;
    c[1][e] = 0;
  }
}
__device__ __forceinline__ void put_pairs(bf16_t* pair, const float (&c)[2][4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
    put2(pair + pair_at(lane_id() / 4 + i % 2 * 8, i / 2 * 8 + lane_id() % 4 * 2), c[i / 2][i % 2 * 2],
         c[i / 2][i % 2 * 2 + 1]);
}

// ---- (I - Aab)^-1, by one warp ----
// Aab goes to shared memory in f32, transposed: [j][t].
constexpr int kAbLd = 20, kAb = kTokens * kAbLd;
__device__ __forceinline__ void put_ab(float* ab, const float (&c)[2][4]) {
#pragma unroll
  for (int i = 0; i < 8; ++i)
    ab[(i / 4 * 8 + lane_id() % 4 * 2 + i % 2) * kAbLd + lane_id() / 4 + i % 4 / 2 * 8] = c[i / 4][i % 4];
}
// Zeroes, in shared memory, what a document start parts of a block of products of tokens from `row` on with
// tokens from `column` on. By the warp that put them there.
template <class At>
__device__ __forceinline__ void part_block(int row, int column, const Starts& starts, const At& at) {
  __syncwarp();
#pragma unroll 1
  for (int i = lane_id(); i < kPair; i += 32) {
    const int t = i / kTokens, j = i % kTokens;
    if (column + j < row + t && !starts.joined(row + t, column + j)) at(t, j) = 0;
  }
}
__device__ __forceinline__ void part_pairs(bf16_t* pair, int row, int column, const Starts& starts) {
  part_block(row, column, starts, [&](int t, int j) -> bf16_t& { return pair[pair_at(t, j)]; });
}
__device__ __forceinline__ void part_ab(float* ab, int row, const Starts& starts) {
  part_block(row, row, starts, [&](int t, int j) -> float& { return ab[j * kAbLd + t]; });
}
// The two 8 x 8 blocks on the diagonal by forward substitution in f32, a column per lane; below them
// Inv22 A21 Inv11 as products. (The product (I + A)(I + A^2)... is exact too but loses all digits when
// successive keys are alike.) ab may be the memory of other pair matrices, not of inv.
__device__ __forceinline__ void invert(const float* ab, bf16_t* inv) {
  const int lane = lane_id(), block = lane / 8 % 2 * 8, column = lane % 8;
  const float* m = ab + block * kAbLd + block;
  float x[8];
#pragma unroll
  for (int t = 0; t < 8; ++t) x[t] = t == column ? 1.0f : 0.0f;
#pragma unroll
  for (int j = 0; j < 7; ++j) {
#pragma unroll
    for (int t = (j + 1) / 4 * 4; t < 8; t += 4) {
      const float4 e4 = *reinterpret_cast<const float4*>(m + j * kAbLd + t);
      const float e[4] = {e4.x, e4.y, e4.z, e4.w};
#pragma unroll
      for (int u = 0; u < 4; ++u) {
        if (t + u > j) x[t + u] += e[u] * x[j];
      }
    }
  }
  if (lane < 16) {
#pragma unroll
    for (int t = 0; t < 8; ++t) inv[pair_at(block + t, block + column)] = from_float<bf16_t>(x[t]);
  } else {  // above and below the diagonal
    const int row = lane % 16;
    *reinterpret_cast<uint4*>(inv + pair_at(row, row < 8 ? 8 : 0)) = make_uint4(0, 0, 0, 0);
  }
  const int g = lane / 4, q = lane % 4;
  const unsigned a21 = pack2(ab[2 * q * kAbLd + g + 8], ab[(2 * q + 1) * kAbLd + g + 8]);
  __syncwarp();
  unsigned blocks[4], right[4];
  load_a(blocks, inv);
  load_b_transposed(right, inv);
  float t[4] = {0, 0, 0, 0}, c[4] = {0, 0, 0, 0};
  const unsigned left[4] = {0, a21, 0, 0};
  mma_m16n8k16_bf16(t, left, right[0], right[1]);  // rows 8 to 15: A21 Inv11
  mma_m16n8k16_bf16(c, blocks, 0, movmatrix_trans(pack2(t[2], t[3])));
  __syncwarp();
  put2(inv + pair_at(g + 8, 2 * q), c[2], c[3]);
}

}  // namespace rt::cuda::wkv7_impl
