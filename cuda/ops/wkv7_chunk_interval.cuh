#pragma once
#include "cuda/ops/wkv7_chunk_state.cuh"

// An interval of two chunks in the shared memory of the block that makes its gradients: what is read and
// written, where it lies, and Q, A, K, B.
namespace rt::cuda::wkv7_impl {

constexpr int kGradientWarps = kN / 16, kGradientThreads = 32 * kGradientWarps;
constexpr int kWarpTokens = kInterval / kGradientWarps;  // whose channels a warp's lanes scale, two each

// Shared memory. What is named twice is one array whose uses a barrier parts.
struct IntervalMemory {
  static constexpr int kTiles = 2 * kTile, kBlocks = 3 * kPair;  // of 32 tokens
  static constexpr int kElements = 2 * kN * kN + 9 * kTiles + 4 * kBlocks + 2 * kPair;
  static constexpr int kFloats = (kInterval + kGradientWarps) * kN;
  static constexpr std::size_t kBytes = sizeof(bf16_t) * kElements + sizeof(float) * kFloats;
  bf16_t* base;
  float* decays;
  float* part;  // (kGradientWarps, kN)

  __device__ __forceinline__ explicit IntervalMemory(Smem& sm)
      : base(sm.take<bf16_t>(kElements)), decays(sm.take<float>(kFloats)), part(decays + kInterval * kN) {}
  // [value][key]: the state before; dS after, times the interval's P_last.
  __device__ __forceinline__ bf16_t* S() const { return base; }
  __device__ __forceinline__ bf16_t* dS() const { return base + kN * kN; }
  // [token][channel]: as read, then Q, A, K, B, then the gradients of r, a, k, b. Left and right sides of
  // products are neighbours, tiles of 64 rows.
  __device__ __forceinline__ bf16_t* tiles(int i) const { return base + 2 * kN * kN + i * kTiles; }
  __device__ __forceinline__ bf16_t* q() const { return tiles(0); }
  __device__ __forceinline__ bf16_t* a() const { return tiles(1); }
  __device__ __forceinline__ bf16_t* k() const { return tiles(2); }
  __device__ __forceinline__ bf16_t* b() const { return tiles(3); }
  __device__ __forceinline__ bf16_t* v() const { return tiles(4); }  // then its gradient
  __device__ __forceinline__ bf16_t* u() const { return tiles(5); }  // then w's gradient
  __device__ __forceinline__ bf16_t* dy() const { return tiles(6); }
  __device__ __forceinline__ bf16_t* dx() const { return tiles(7); }  // first Aab
  __device__ __forceinline__ bf16_t* w() const { return tiles(8); }   // then d log(decay) / dw
  // Blocks (0, 0), (1, 0) and (1, 1) of Aqk, Aqb, Aak or Aab (m = 0 to 3), then of their gradients.
  __device__ __forceinline__ bf16_t* pairs(int m) const { return tiles(9) + m * kBlocks; }
  __device__ __forceinline__ bf16_t* block(int m, int i, int j) const { return pairs(m) + (i + j) * kPair; }
  __device__ __forceinline__ bf16_t* inv(int i) const { return tiles(9) + 4 * kBlocks + i * kPair; }
  // Aab of chunk i in f32.
  __device__ __forceinline__ float* ab(int i) const { return reinterpret_cast<float*>(dx()) + i * kAb; }
  // P, f32 [channel][token], four tokens a piece; pieces are permuted so that neither pairs of channels nor
  // eight channels meet a bank twice.
  __device__ __forceinline__ float* P(int channel, int token) const {
    return decays + channel * kInterval +
           ((token / 4 ^ channel % 2 * 4 ^ channel / 2 % 2 * 2 ^ channel / 4 % 2 ^ channel / 8 % 2 * 4) * 4 +
            token % 4);
  }
};
static_assert(2 * kAb * sizeof(float) <= IntervalMemory::kTiles * sizeof(bf16_t));

struct GradientIn {
  const bf16_t* dy;       // may be null: zero
  const bf16_t* states;   // before each interval but the first
  const bf16_t* dstates;  // after each, times the interval's P_last
};
// In the order of the tiles they lie in: of r, a, k, b, v, w.
struct GradientOut {
  Out<bf16_t> of[6];
};

// Heads of the same tokens are neighbours in memory and in the grid.
struct Place {
  std::int64_t t0, head;
  int interval, intervals, live;
  __device__ __forceinline__ explicit Place(const Inputs<bf16_t>& in)
      : head(static_cast<std::int64_t>(blockIdx.z) * gridDim.x + blockIdx.x),
        interval(static_cast<int>(blockIdx.y)),
        intervals(static_cast<int>(gridDim.y)) {
    t0 = static_cast<std::int64_t>(interval) * kInterval;
    live = static_cast<int>(in.T_ - t0 < kInterval ? in.T_ - t0 : kInterval);
  }
  // Of the head's interval in a (B, T, C) tensor.
  __device__ __forceinline__ std::int64_t first(const Inputs<bf16_t>& in) const {
    return (blockIdx.z * in.T_ + t0) * in.C + static_cast<std::int64_t>(blockIdx.x) * kN;
  }
};

// The warp's rows of the two states as operands A: loaded early, put to shared memory later.
struct StateRows {
  unsigned before[kN / 16][4], after[kN / 16][4];
  __device__ __forceinline__ StateRows(const Inputs<bf16_t>& in, const GradientIn& x, const Place& p) {
    const std::int64_t size = kN * kN;
    load(x.dstates + (p.head * p.intervals + p.interval) * size, after);
    if (p.interval > 0) {
      load(x.states + (p.head * (p.intervals - 1) + p.interval - 1) * size, before);
    } else {
      State S;
      S.load(in.s0 ? in.s0 + p.head * size : nullptr);
      S.as_operand(before);
    }
  }
  __device__ __forceinline__ void put(const IntervalMemory& m) const {
#pragma unroll
    for (int i = 0; i < kN / 16; ++i) {
      put_operand(m.S(), before[i], 16 * warp_id(), 16 * i);
      put_operand(m.dS(), after[i], 16 * warp_id(), 16 * i);
    }
  }

 private:
  __device__ __forceinline__ static void load(const bf16_t* from, unsigned (&f)[kN / 16][4]) {
#pragma unroll
    for (int i = 0; i < kN / 16; ++i) {
      const uint4 piece = reinterpret_cast<const uint4*>(from)[(warp_id() * (kN / 16) + i) * 32 + lane_id()];
      f[i][0] = piece.x;
      f[i][1] = piece.y;
      f[i][2] = piece.z;
      f[i][3] = piece.w;
    }
  }
};

// Two channels of a warp's tokens. First their sums of -log2(decay), and d log(decay) / dw in the place of w;
// after a barrier Q, A, K, B in place, and P.
struct Columns {
  int token, channel;
  float2 sums[kWarpTokens];

  __device__ __forceinline__ Columns(const IntervalMemory& m, int live)
      : token(warp_id() * kWarpTokens), channel(2 * lane_id()) {
    for (int t = live > token ? live : token; t < token + kWarpTokens; ++t)
      put2(m.w() + tile_at(t, channel), kNoDecay, kNoDecay);
    float2 sum = make_float2(0, 0);
#pragma unroll
    for (int t = 0; t < kWarpTokens; ++t) {
      bf16_t* const at = m.w() + tile_at(token + t, channel);
      const float2 w = get2(at);
      const Rate x = rate_of(w.x), y = rate_of(w.y);
      put2(at, x.slope, y.slope);
      sum.x += x.log2;
      sum.y += y.log2;
      sums[t] = sum;
    }
    *reinterpret_cast<float2*>(m.part + warp_id() * kN + channel) = sum;
  }

  __device__ __forceinline__ void scale(const IntervalMemory& m) const {
    float2 before = make_float2(0, 0);
#pragma unroll
    for (int i = 0; i + 1 < kGradientWarps; ++i) {
      const float2 part = *reinterpret_cast<const float2*>(m.part + i * kN + channel);
      if (i < warp_id()) {
        before.x += part.x;
        before.y += part.y;
      }
    }
    float2 down = make_float2(exp2_fast(-before.x), exp2_fast(-before.y));  // P-
#pragma unroll
    for (int first = 0; first < kWarpTokens; first += 4) {
      float px[4], py[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = tile_at(token + first + i, channel);
        const float2 g = make_float2(sums[first + i].x + before.x, sums[first + i].y + before.y);
        const float2 up = make_float2(exp2_fast(g.x), exp2_fast(g.y));
        scale2(m.a() + at, down);
        down = make_float2(exp2_fast(-g.x), exp2_fast(-g.y));
        px[i] = down.x;
        py[i] = down.y;
        scale2(m.q() + at, down);
        scale2(m.k() + at, up);
        scale2(m.b() + at, up);
      }
      *reinterpret_cast<float4*>(m.P(channel, token + first)) = make_float4(px[0], px[1], px[2], px[3]);
      *reinterpret_cast<float4*>(m.P(channel + 1, token + first)) = make_float4(py[0], py[1], py[2], py[3]);
    }
  }
};

// Of eight bf16 each.
__device__ __forceinline__ uint4 sum_of(const uint4& x, const uint4& y) {
  const auto sum = [](unsigned a, unsigned b) {
    const float2 p = unpack2(a), q = unpack2(b);
    return pack2(p.x + q.x, p.y + q.y);
  };
  return make_uint4(sum(x.x, y.x), sum(x.y, y.y), sum(x.z, y.z), sum(x.w, y.w));
}
__device__ __forceinline__ void store_tiles(const IntervalMemory& m, const GradientOut& out, std::int64_t at,
                                            std::int64_t C, int live) {
  const int row = static_cast<int>(threadIdx.x / 8), piece = static_cast<int>(threadIdx.x % 8) * 8;
  const int from[] = {tile_at(row, piece), tile_at(row + 16, piece)};
  const std::int64_t to = at + row * C + piece;
#pragma unroll 1
  for (int n = 0; n < 6; n += 3) {
    uint4 x[3][2];
#pragma unroll
    for (int i = 0; i < 6; ++i)
      x[i / 2][i % 2] = *reinterpret_cast<const uint4*>(m.tiles(n + i / 2) + from[i % 2]);
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      const Out<bf16_t>& o = out.of[n + i];
      if (!o.data) continue;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if (row + 16 * r >= live) break;
        uint4* const p = reinterpret_cast<uint4*>(o.data + to + 16 * r * C);
        *p = o.accumulate ? sum_of(*p, x[i][r]) : x[i][r];
      }
    }
  }
}

}  // namespace rt::cuda::wkv7_impl
