#pragma once
#include "cuda/ops/wkv7_chunk.cuh"

// A warp's 16 rows (values) of an N x N state as f32 accumulators: tile i holds columns 8 i to 8 i + 7.
namespace rt::cuda::wkv7_impl {

template <int N>
struct State {
  float s[N / 8][4];

  __device__ __forceinline__ void zero() {
#pragma unroll
    for (int i = 0; i < N / 2; ++i) s[i / 4][i % 4] = 0;
  }
  __device__ __forceinline__ void identity() {
#pragma unroll
    for (int i = 0; i < N / 2; ++i) s[i / 4][i % 4] = row(i % 4) == column(i / 4) + i % 2 ? 1.0f : 0.0f;
  }
  __device__ __forceinline__ static int row(int e) { return warp_id() * 16 + lane_id() / 4 + e / 2 * 8; }
  __device__ __forceinline__ static int column(int i) { return 8 * i + lane_id() % 4 * 2; }

  // (N, N) f32; null: zero.
  __device__ __forceinline__ void load(const float* from) {
#pragma unroll
    for (int i = 0; i < N / 8; ++i) {
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        const float2 x =
            from ? *reinterpret_cast<const float2*>(from + row(e) * N + column(i)) : make_float2(0, 0);
        s[i][e] = x.x;
        s[i][e + 1] = x.y;
      }
    }
  }
  __device__ __forceinline__ void store(float* to, bool accumulate) const {
#pragma unroll
    for (int i = 0; i < N / 8; ++i) {
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        float2* p = reinterpret_cast<float2*>(to + row(e) * N + column(i));
        const float2 old = accumulate ? *p : make_float2(0, 0);
        *p = make_float2(old.x + s[i][e], old.y + s[i][e + 1]);
      }
    }
  }
  // A saved state: N * N bf16 in the order that makes both whole 16-byte accesses of neighbouring lanes.
  __device__ __forceinline__ void save(bf16_t* to) const {
#pragma unroll
    for (int i = 0; i < N / 16; ++i) {
      unsigned f[4];
      as_a(f, s[2 * i], s[2 * i + 1]);
      reinterpret_cast<uint4*>(to)[(warp_id() * (N / 16) + i) * 32 + lane_id()] =
          make_uint4(f[0], f[1], f[2], f[3]);
    }
  }
  __device__ __forceinline__ void restore(const bf16_t* from) {
#pragma unroll
    for (int i = 0; i < N / 16; ++i) {
      const uint4 f = reinterpret_cast<const uint4*>(from)[(warp_id() * (N / 16) + i) * 32 + lane_id()];
      const unsigned x[4] = {f.x, f.y, f.z, f.w};
#pragma unroll
      for (int u = 0; u < 4; ++u) {
        s[2 * i + u / 2][u % 2 * 2] = __uint_as_float(x[u] << 16);
        s[2 * i + u / 2][u % 2 * 2 + 1] = __uint_as_float(x[u] & 0xffff0000u);
      }
    }
  }
  // As a tile [value][key] in shared memory.
  __device__ __forceinline__ void put(bf16_t* to) const {
#pragma unroll
    for (int i = 0; i < N / 8; ++i) {
      put2(to + row(0) * kLd<N> + column(i), s[i][0], s[i][1]);
      put2(to + row(2) * kLd<N> + column(i), s[i][2], s[i][3]);
    }
  }
  __device__ __forceinline__ void as_operand(unsigned (&f)[N / 16][4]) const {
#pragma unroll
    for (int i = 0; i < N / 16; ++i) as_a(f[i], s[2 * i], s[2 * i + 1]);
  }
  // Column j times p[j].
  __device__ __forceinline__ void scale(const float* p) {
#pragma unroll
    for (int i = 0; i < N / 8; ++i) {
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
    for (int i = 0; i < N / 16; ++i) {
      unsigned f[4];
      load_b_transposed(f, m + 16 * i, kLd<N>);
      multiply(s[2 * i], s[2 * i + 1], x, f);
    }
  }
};

// c (16 values x 16 tokens) += S M' with S as operands and M a tile [token][key].
template <int N>
__device__ __forceinline__ void add_state_product(float (&c)[2][4], const unsigned (&s)[N / 16][4],
                                                  const bf16_t* m) {
#pragma unroll
  for (int i = 0; i < N / 16; ++i) {
    unsigned f[4];
    load_b(f, m + 16 * i, kLd<N>);
    multiply(c[0], c[1], s[i], f);
  }
}

// Eight channels from shared memory, all multiples of 16 bytes.
__device__ __forceinline__ void put8(const Out<bf16_t>& out, std::int64_t at, const bf16_t* from) {
  if (!out.data) return;
  if (out.accumulate) {
    float x[8], y[8];
    load8(from, x);
    load8(out.data + at, y);
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] += y[i];
    store8(out.data + at, x);
  } else {
    *reinterpret_cast<uint4*>(out.data + at) = *reinterpret_cast<const uint4*>(from);
  }
}

// The warp's 16 values x 16 tokens as [token][value].
__device__ __forceinline__ void put_transposed(bf16_t* x, int ld, const float (&c)[2][4]) {
  const int value = lane_id() / 4, token = lane_id() % 4 * 2;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int t = token + i / 4 * 8 + i % 2, v = value + i / 2 % 2 * 8;
    x[t * ld + v] = from_float<bf16_t>(c[i / 4][i % 4]);
  }
}
// The same to rows of `out`, token 0 at `at`, through `stage` (16 x kPairLd, the warp's own).
__device__ __forceinline__ void write_rows(bf16_t* stage, const float (&c)[2][4], const Out<bf16_t>& out,
                                           std::int64_t at, std::int64_t C, int live_tokens) {
  __syncwarp();
  put_transposed(stage, kPairLd, c);
  __syncwarp();
  const int t = lane_id() / 2, part = lane_id() % 2 * 8;
  if (t < live_tokens) put8(out, at + t * C + warp_id() * 16 + part, stage + t * kPairLd + part);
}

}  // namespace rt::cuda::wkv7_impl
