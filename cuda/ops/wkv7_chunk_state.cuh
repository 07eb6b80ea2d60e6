#pragma once
#include "cuda/ops/wkv7_chunk_prepare.cuh"

// The state: a warp carries 16 rows (values) of a head's N x N as f32 accumulators. Products are formed
// transposed (values x tokens), so that a result is an operand of the next product as it lies in registers.
namespace rt::cuda::wkv7_impl {

constexpr int kCarriers = kN / 16;  // warps of a state
static_assert(kPreparers % kCarriers == 0, "a warp's number gives its rows");

// Zeroes the columns of c, or of A, whose bit is not set.
__device__ __forceinline__ void keep_columns(float (&c)[2][4], unsigned bits) {
  const int first = lane_id() % 4 * 2;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if ((bits >> (first + i / 4 * 8 + i % 2) & 1u) == 0) c[i / 4][i % 4] = 0;
  }
}
__device__ __forceinline__ void keep_columns(unsigned (&f)[4], unsigned bits) {
  const unsigned low = bits >> (lane_id() % 4 * 2), high = low >> 8;
  const unsigned m0 = (low & 1u ? 0xffffu : 0u) | (low & 2u ? 0xffff0000u : 0u);
  const unsigned m1 = (high & 1u ? 0xffffu : 0u) | (high & 2u ? 0xffff0000u : 0u);
  f[0] &= m0;
  f[1] &= m0;
  f[2] &= m1;
  f[3] &= m1;
}

struct State {
  float s[kN / 8][4];  // tile i: columns (keys) 8 i to 8 i + 7
  int value;           // the warp's first row

  __device__ __forceinline__ State() : value(warp_id() % kCarriers * 16) {}
  __device__ __forceinline__ void zero() {
#pragma unroll
    for (int i = 0; i < kN / 2; ++i) s[i / 4][i % 4] = 0;
  }
  __device__ __forceinline__ void identity() {
#pragma unroll
    for (int i = 0; i < kN / 2; ++i) s[i / 4][i % 4] = row(i % 4) == column(i / 4) + i % 2 ? 1.0f : 0.0f;
  }
  __device__ __forceinline__ int row(int e) const { return value + lane_id() / 4 + e / 2 * 8; }
  __device__ __forceinline__ static int column(int i) { return 8 * i + lane_id() % 4 * 2; }

  // (N, N) f32; null: zero.
  __device__ __forceinline__ void load(const float* from) {
#pragma unroll
    for (int i = 0; i < kN / 8; ++i) {
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        const float2 x =
            from ? *reinterpret_cast<const float2*>(from + row(e) * kN + column(i)) : make_float2(0, 0);
        s[i][e] = x.x;
        s[i][e + 1] = x.y;
      }
    }
  }
  __device__ __forceinline__ void store(float* to, bool accumulate) const {
#pragma unroll
    for (int i = 0; i < kN / 8; ++i) {
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        float2* p = reinterpret_cast<float2*>(to + row(e) * kN + column(i));
        const float2 old = accumulate ? *p : make_float2(0, 0);
        *p = make_float2(old.x + s[i][e], old.y + s[i][e + 1]);
      }
    }
  }
  // N * N bf16 in the order that makes 16-byte accesses of neighbouring lanes of this and of reading it as
  // operands A.
  __device__ __forceinline__ void save(bf16_t* to) const {
#pragma unroll
    for (int i = 0; i < kN / 16; ++i) {
      unsigned f[4];
      as_a(f, s[2 * i], s[2 * i + 1]);
      reinterpret_cast<uint4*>(to)[(value / 16 * (kN / 16) + i) * 32 + lane_id()] =
          make_uint4(f[0], f[1], f[2], f[3]);
    }
  }
  __device__ __forceinline__ void as_operand(unsigned (&f)[kN / 16][4]) const {
#pragma unroll
    for (int i = 0; i < kN / 16; ++i) as_a(f[i], s[2 * i], s[2 * i + 1]);
  }
  // Column j times p[j].
  __device__ __forceinline__ void scale(const float* p) {
#pragma unroll
    for (int i = 0; i < kN / 8; ++i) {
      const float2 x = *reinterpret_cast<const float2*>(p + column(i));
      s[i][0] *= x.x;
      s[i][1] *= x.y;
      s[i][2] *= x.x;
      s[i][3] *= x.y;
    }
  }
  // += X' M with X' the warp's rows (16 values x 16 tokens) as A and M a tile [token][key].
  __device__ __forceinline__ void add(const unsigned (&x)[4], const bf16_t* m) {
#pragma unroll
    for (int i = 0; i < kN / 16; ++i) {
      unsigned f[4];
      load_b_transposed(f, m, 0, 16 * i);
      mma_m16n8k16_bf16(s[2 * i], x, f[0], f[1]);
      mma_m16n8k16_bf16(s[2 * i + 1], x, f[2], f[3]);
    }
  }
};

// c (16 values x 16 tokens) += S M' with S as operands and M a tile [token][key].
__device__ __forceinline__ void add_state_product(float (&c)[2][4], const unsigned (&s)[kN / 16][4],
                                                  const bf16_t* m) {
#pragma unroll
  for (int i = 0; i < kN / 16; ++i) {
    unsigned f[4];
    load_b(f, m, 0, 16 * i);
    multiply(c, s[i], f);
  }
}
// c (16 values x 16 tokens) += X M' with M a pair matrix, or X M.
__device__ __forceinline__ void add_pairs(float (&c)[2][4], const unsigned (&x)[4], const bf16_t* m) {
  unsigned f[4];
  load_b(f, m);
  multiply(c, x, f);
}
__device__ __forceinline__ void add_pairs_transposed(float (&c)[2][4], const unsigned (&x)[4],
                                                     const bf16_t* m) {
  unsigned f[4];
  load_b_transposed(f, m);
  multiply(c, x, f);
}

// Runs `prepare(slot, i)` on the preparing warps and `carry(slot, i)` on the others for the chunks i = 0 to
// count - 1 in order, the former a group ahead. slot: of the 2 * kPreparers that shared memory holds.
template <class Prepare, class Carry>
__device__ __forceinline__ void run_chunks(int count, const Prepare& prepare, const Carry& carry) {
  const int groups = (count + kPreparers - 1) / kPreparers;
  for (int group = 0; group <= groups; ++group) {
    if (warp_id() < kPreparers) {
      const int i = group * kPreparers + warp_id();
      if (i < count) prepare(group % 2 * kPreparers + warp_id(), i);
    } else if (group > 0) {
#pragma unroll 1
      for (int p = 0; p < kPreparers; ++p) {
        const int i = (group - 1) * kPreparers + p;
        if (i < count) carry((group - 1) % 2 * kPreparers + p, i);
      }
    }
    __syncthreads();
  }
}

}  // namespace rt::cuda::wkv7_impl
