#pragma once
#include "cuda/ops/wkv7_chunk_interval.cuh"

// Products of the gradients of an interval. A warp has 16 values, then 16 keys, of all 32 tokens, again
// transposed: (values x tokens), (keys x tokens).
namespace rt::cuda::wkv7_impl {

// 16 rows x 32 tokens, a chunk each; and two of them as one accumulator of 8 tiles of columns.
using Wide = float[2][2][4];
using Both = float[8][4];
__device__ __forceinline__ void clear(Wide& c) {
  clear(c[0]);
  clear(c[1]);
}
__device__ __forceinline__ void clear(Both& c) {
#pragma unroll
  for (int n = 0; n < 32; ++n) c[n / 4][n % 4] = 0;
}
__device__ __forceinline__ Wide& half_of(Both& c, int half) { return reinterpret_cast<Wide&>(c[4 * half]); }
__device__ __forceinline__ void keep_columns(Wide& c, unsigned bits) {
  keep_columns(c[0], bits);
  keep_columns(c[1], bits >> kTokens);
}

// ---- products over all N, of the block's four warps together; 16 rows of the result each ----
// Between start_products and finish_products; publish_tiles before a barrier between writing tiles and them.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
__device__ __forceinline__ void publish_tiles() { wgmma::publish(); }
__device__ __forceinline__ void start_products() { wgmma::begin(); }
__device__ __forceinline__ void finish_products() { wgmma::finish(); }
// c += X M' with the warp's rows of X as operands and M 32 or 64 rows of a tile.
template <int Tiles>
__device__ __forceinline__ void add_product(float (&c)[Tiles][4], const unsigned (&x)[kN / 16][4],
                                            const bf16_t* m) {
#pragma unroll
  for (int i = 0; i < kN / 16; ++i) wgmma::multiply(c, x[i], wgmma::descriptor(m + 16 * i));
}
// c += X M', or X' M', with X and M 64 rows of tiles.
template <bool Transposed>
__device__ __forceinline__ void add_product(Both& c, const bf16_t* x, const bf16_t* m) {
#pragma unroll
  for (int i = 0; i < kN; i += 16)
    wgmma::multiply<Transposed>(c, wgmma::descriptor(x + (Transposed ? i * kN : i)),
                                wgmma::descriptor(m + i));
}
#else
__device__ __forceinline__ void publish_tiles() {}
__device__ __forceinline__ void start_products() {}
__device__ __forceinline__ void finish_products() {}
template <int Tiles>
__device__ __forceinline__ void add_step(float (&c)[Tiles][4], const unsigned (&x)[4], const bf16_t* m,
                                         int column) {
#pragma unroll
  for (int n = 0; n < Tiles; n += 2) {
    unsigned f[4];
    load_b(f, m, 8 * n, column);
    mma_m16n8k16_bf16(c[n], x, f[0], f[1]);
    mma_m16n8k16_bf16(c[n + 1], x, f[2], f[3]);
  }
}
template <int Tiles>
__device__ __forceinline__ void add_product(float (&c)[Tiles][4], const unsigned (&x)[kN / 16][4],
                                            const bf16_t* m) {
#pragma unroll
  for (int i = 0; i < kN / 16; ++i) add_step(c, x[i], m, 16 * i);
}
template <bool Transposed>
__device__ __forceinline__ void add_product(Both& c, const bf16_t* x, const bf16_t* m) {
#pragma unroll 2
  for (int i = 0; i < kN; i += 16) {
    unsigned f[4];
    if constexpr (Transposed) {
      load_a_transposed(f, x, i, 16 * warp_id());
    } else {
      load_a(f, x, 16 * warp_id(), i);
    }
    add_step(c, f, m, i);
  }
}
#endif

// c = X M' with M = inv, or X M. X is not rounded to bf16 but taken in two parts: where successive keys are
// alike the result is small differences of it.
template <bool Transposed>
__device__ __forceinline__ void solve(float (&c)[2][4], float (&x)[2][4], const bf16_t* inv) {
  unsigned high[4], low[4], f[4];
  as_a(high, x);
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    const float2 rounded = unpack2(high[i / 2]);
    x[i / 4][i % 4] -= rounded.x;
    x[i / 4][i % 4 + 1] -= rounded.y;
  }
  as_a(low, x);
  if constexpr (Transposed) {
    load_b(f, inv);
  } else {
    load_b_transposed(f, inv);
  }
  clear(c);
  multiply(c, high, f);
  multiply(c, low, f);
}

// f(chunk, tile of columns, first of a row's two elements, first of all of the warp's elements in an operand
// A)
template <class F>
__device__ __forceinline__ void each_pair(const F& f) {
#pragma unroll
  for (int n = 0; n < 8; ++n) f(n / 4, n / 2 % 2, n % 2 * 2);
}

// Half of c as [token][row], packed: what put_packed stores to columns `column` on of a tile.
using Packed = unsigned[2][2][2];
__device__ __forceinline__ void pack_transposed(Packed& to, const Wide& c) {
  each_pair(
      [&](int i, int u, int e) { to[i][u][e / 2] = movmatrix_trans(pack2(c[i][u][e], c[i][u][e + 1])); });
}
__device__ __forceinline__ void put_packed(bf16_t* tile, const Packed& x, int column) {
  each_pair([&](int i, int u, int e) {
    const int at = tile_at(kTokens * i + 8 * u + lane_id() / 4, column + 4 * e + lane_id() % 4 * 2);
    *reinterpret_cast<unsigned*>(tile + at) = x[i][u][e / 2];
  });
}
// Host: the gradients of r, w, k, v, a, b. dstates: (heads, intervals, N, N) as the reverse pass leaves them.
void interval_gradients(ExecContext&, const Wkv7Args&, const Wkv7Outs&, const Wkv7OutGrads&,
                        const TensorView& dstates, const Wkv7Grads&);

}  // namespace rt::cuda::wkv7_impl
