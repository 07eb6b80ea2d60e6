#include "cuda/ops/wkv7_chunk_split.cuh"

#include "cuda/ops/wkv7_chunk_reverse.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

// One chunk's part of S; not with_v: as if v were zero.
__device__ __forceinline__ void carry_state(const Chunk<Pass::Carry>& x, bool with_v, State& S) {
  const Starts starts{x.starts()};
  float z[2][4], u[2][4];
  unsigned s[kN / 16][4], v[4];
  clear(z);
  clear(u);
  S.as_operand(s);
  add_state_product(z, s, x.a());
  if (starts.any()) {
    keep_columns(z, starts.seeing());
    S.zero();
  }
  if (with_v) {
    load_a_transposed(v, x.values(), 0, S.value);
    add_pairs(z, v, x.ak());
    if (starts.any()) keep_columns(v, starts.seen());
    S.add(v, x.k());
  }
  as_a(v, z);
  add_pairs(u, v, x.inv());
  as_a(v, u);
  if (starts.any()) keep_columns(v, starts.seen());
  S.add(v, x.b());
  S.scale(x.last());
}

// E (of segment 0 from s0) and M of a segment, (heads, cuts, N, N) each.
struct CarryOut {
  float *offsets, *maps;
  std::int64_t length;
};

// The same prepared chunks serve both states, kCarriers warps each.
__global__ void __launch_bounds__(kPrepareThreads + 64 * kCarriers, 2)
    wkv7_forward_carry_chunk_kernel(Inputs<bf16_t> in, CarryOut out) {
  using X = Chunk<Pass::Carry>;
  Smem sm;
  bf16_t* const chunks = sm.take<bf16_t>(2 * kPreparers * X::kSize);
  const int head = static_cast<int>(blockIdx.x), segment = static_cast<int>(blockIdx.y);
  const bool map = warp_id() >= kPreparers + kCarriers;
  const std::int64_t begin = segment * out.length, size = kN * kN;
  State S;
  if (warp_id() >= kPreparers) {
    if (map) {
      S.identity();
    } else {
      S.load(segment == 0 && in.s0 ? in.s0 + head * size : nullptr);
    }
  }
  run_chunks(
      static_cast<int>(out.length / kTokens),  // never the last segment
      [&](int slot, int i) {
        const std::int64_t t0 = begin + static_cast<std::int64_t>(i) * kTokens;
        prepare_chunk(in, nullptr, head, t0, X{chunks + slot * X::kSize});
      },
      [&](int slot, int) { carry_state(X{chunks + slot * X::kSize}, !map, S); });
  float* const to = map ? out.maps : out.offsets;
  if (warp_id() >= kPreparers)
    S.store(to + (static_cast<std::int64_t>(head) * gridDim.y + segment) * size, false);
}

// dS before segment blockIdx.y + 1, from zero after it; the last segment's from dstate.
__global__ void __launch_bounds__(kPrepareThreads + 32 * kCarriers, 2)
    wkv7_reverse_carry_chunk_kernel(Inputs<bf16_t> in, const bf16_t* dy, const float* dstate, float* to,
                                    std::int64_t length) {
  const int head = static_cast<int>(blockIdx.x), cuts = static_cast<int>(gridDim.y);
  const std::int64_t begin = (blockIdx.y + 1) * length, size = kN * kN;
  const std::int64_t end = begin + length < in.T_ ? begin + length : in.T_;
  State dS;
  if (warp_id() >= kPreparers) dS.load(end == in.T_ && dstate ? dstate + head * size : nullptr);
  reverse_block(in, dy, head, begin, end, dS, nullptr);
  if (warp_id() >= kPreparers)
    dS.store(to + (static_cast<std::int64_t>(head) * cuts + blockIdx.y) * size, false);
}

// Forward: at cut g, offsets <- offsets of g - 1 times the map of segment g, plus offsets, for g = 1, 2, ...
// Backward: the same with transposed maps, from the last cut down, where cut g - 1 follows from cut g. A
// block takes kRows rows of a head through all cuts, while the next map is copied.
constexpr int kRows = 8, kMergeThreads = 256, kMapLd = kN + 4;
__global__ void wkv7_merge_cuts_kernel(float* offsets, const float* maps, int cuts, bool backward) {
  RT_SHARED(float, row, [kRows][kN]);
  RT_SHARED(float, copies, [2][kN * kMapLd]);
  constexpr int kEach = kRows * kN / kMergeThreads;
  const int column = static_cast<int>(threadIdx.x % kN), first = static_cast<int>(threadIdx.x / kN) * kEach;
  const std::int64_t base = static_cast<std::int64_t>(blockIdx.x) * cuts * kN * kN;
  float* const mine = offsets + base + (static_cast<std::int64_t>(blockIdx.y) * kRows + first) * kN + column;
  const auto at = [&](int step) {
    return mine + static_cast<std::int64_t>(backward ? cuts - 1 - step : step) * kN * kN;
  };
  const auto request = [&](int step) {
    const float* map = maps + base + static_cast<std::int64_t>(backward ? cuts - step : step) * kN * kN;
    for (int i = static_cast<int>(threadIdx.x) * 4; step < cuts && i < kN * kN; i += kMergeThreads * 4)
      cp_async16(copies[step % 2] + i / kN * kMapLd + i % kN, map + i);
    cp_async_commit();
  };
  request(1);
  float sum[kEach], next[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) row[first + i][column] = at(0)[i * kN];
#pragma unroll
  for (int i = 0; i < kEach; ++i) next[i] = at(1)[i * kN];
  for (int step = 1; step < cuts; ++step) {
    request(step + 1);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      sum[i] = next[i];
      if (step + 1 < cuts) next[i] = at(step + 1)[i * kN];
    }
    cp_async_wait<1>();
    __syncthreads();  // the map is there, and the rows
    const float* map = copies[step % 2] + (backward ? column * kMapLd : column);
    const int stride = backward ? 1 : kMapLd;
#pragma unroll
    for (int k = 0; k < kN; k += 4) {
      float m[4];
#pragma unroll
      for (int u = 0; u < 4; ++u) m[u] = map[(k + u) * stride];
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const float4 r = *reinterpret_cast<const float4*>(&row[first + i][k]);
        sum[i] += r.x * m[0];
        sum[i] += r.y * m[1];
        sum[i] += r.z * m[2];
        sum[i] += r.w * m[3];
      }
    }
    __syncthreads();  // the rows are read
#pragma unroll
    for (int i = 0; i < kEach; ++i) at(step)[i * kN] = row[first + i][column] = sum[i];
  }
}

TensorView cuts_of(ExecContext& ctx, const Wkv7Args& a, const Wkv7Split& split, std::string_view name) {
  return ctx.scratch.alloc({heads_of(a), split.count - 1, kN, kN}, DType::F32, name);
}

void merge(ExecContext& ctx, const Wkv7Args& a, const TensorView& offsets, const TensorView& maps,
           bool backward) {
  const auto cuts = static_cast<int>(offsets.shape[1]);
  if (cuts < 2) return;
  RT_LAUNCH(wkv7_merge_cuts_kernel, dim3(static_cast<unsigned>(heads_of(a)), kN / kRows), dim3(kMergeThreads),
            0, stream_of(ctx), offsets.as<float>(), maps.as<float>(), cuts, backward);
}

}  // namespace

TensorView forward_cuts(ExecContext& ctx, const Wkv7Args& a, const Wkv7Split& split, TensorView maps) {
  if (split.count == 1) return {};
  const TensorView offsets = cuts_of(ctx, a, split, "wkv7.cuts");
  if (!maps) maps = cuts_of(ctx, a, split, "wkv7.maps");
  if (ctx.dry_run) return offsets;
  RT_LAUNCH(wkv7_forward_carry_chunk_kernel,
            dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(split.count - 1)),
            dim3(kPrepareThreads + 64 * kCarriers), chunk_bytes<Pass::Carry>(2), stream_of(ctx),
            Inputs<bf16_t>(a), CarryOut{offsets.as<float>(), maps.as<float>(), split.length});
  merge(ctx, a, offsets, maps, false);
  return offsets;
}

TensorView backward_cuts(ExecContext& ctx, const Wkv7Args& a, const Wkv7OutGrads& dout,
                         const Wkv7Split& split, const TensorView& maps) {
  if (split.count == 1) return {};
  const TensorView offsets = cuts_of(ctx, a, split, "wkv7.dcuts");
  if (ctx.dry_run) return offsets;
  RT_LAUNCH(wkv7_reverse_carry_chunk_kernel,
            dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(split.count - 1)),
            dim3(kPrepareThreads + 32 * kCarriers), chunk_bytes<Pass::Reverse>(2), stream_of(ctx),
            Inputs<bf16_t>(a), reinterpret_cast<const bf16_t*>(dout.y.data),
            dout.state ? dout.state.as<float>() : nullptr, offsets.as<float>(), split.length);
  merge(ctx, a, offsets, maps, true);
  return offsets;
}

}  // namespace rt::cuda::wkv7_impl
