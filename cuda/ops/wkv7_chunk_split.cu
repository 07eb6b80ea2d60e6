#include "cuda/ops/wkv7_chunk_steps.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

template <int N>
constexpr std::size_t kForwardBytes =
    sizeof(bf16_t) * (2 * 6 * RawTile<N>::kSize + Scores::kSize) + Operands<N, false>::kBytes +
    sizeof(float) * kTokens* kAbLd;
template <int N>
constexpr std::size_t kBackwardBytes = kForwardBytes<N> + sizeof(bf16_t) * 2 * RawTile<N>::kSize;

// E (blockIdx.z + first_map 0; of segment 0 from s0) or M (1) of segment blockIdx.y + first_segment.
struct CarryOut {
  float *offsets, *maps;  // (heads, cuts, N, N)
  std::int64_t length;
  int first_segment, first_map, cuts;
};

template <int N, bool Raw>
__global__ void __launch_bounds__(2 * N, 192 / N)
    wkv7_forward_carry_chunk_kernel(Inputs<bf16_t> in, CarryOut out) {
  Smem sm;
  bf16_t* const raws = sm.take<bf16_t>(2 * 6 * RawTile<N>::kSize);
  const Operands<N, Raw> x(sm);
  const Scores scores(sm.take<bf16_t>(Scores::kSize));
  float* ab = sm.take<float>(kTokens * kAbLd);
  const int head = static_cast<int>(blockIdx.x), segment = static_cast<int>(blockIdx.y) + out.first_segment;
  const bool map = static_cast<int>(blockIdx.z) + out.first_map == 1;
  if (map && segment == 0) return;                                            // the whole block
  const std::int64_t begin = segment * out.length, end = begin + out.length;  // never the last segment
  State<N> S;
  S.load(segment == 0 && in.s0 ? in.s0 + static_cast<std::int64_t>(head) * N * N : nullptr);
  if (map) S.identity();
  RawTile<N>{raws}.load(in, head, begin);
  cp_async_commit();
  bool start = starts_here(in, head, begin), odd = false;
  for (std::int64_t t0 = begin; t0 < end; t0 += kTokens, odd = !odd) {
    const RawTile<N> raw{raws + (odd ? 6 * RawTile<N>::kSize : 0)};
    const Starts starts = starts_of(start);
    cp_async_wait<0>();
    __syncthreads();
    if (t0 + kTokens < end) {
      RawTile<N>{raws + (odd ? 0 : 6 * RawTile<N>::kSize)}.load(in, head, t0 + kTokens);
      start = starts_here(in, head, t0 + kTokens);
    }
    cp_async_commit();
    const bool steep = x.make(raw, kTokens);
    __syncthreads();
    recompute_chunk<N, Raw>(x, raw, starts, steep, scores, ab, nullptr, true, map, S);
  }
  S.store((map ? out.maps : out.offsets) + (static_cast<std::int64_t>(head) * out.cuts + segment) * N * N,
          false);
}

// dS before segment blockIdx.y + 1, from zero after it; the last segment's from dstate.
template <int N, bool Raw>
__global__ void __launch_bounds__(2 * N, 192 / N)
    wkv7_backward_carry_chunk_kernel(Inputs<bf16_t> in, const bf16_t* dy, const float* dstate, float* to,
                                     std::int64_t length) {
  Smem sm;
  constexpr int kRaw = 7 * RawTile<N>::kSize;
  bf16_t* const raws = sm.take<bf16_t>(2 * kRaw);
  const Operands<N, Raw> x(sm);
  const Scores scores(sm.take<bf16_t>(Scores::kSize));
  float* ab = sm.take<float>(kTokens * kAbLd);
  const int head = static_cast<int>(blockIdx.x), cuts = static_cast<int>(gridDim.y);
  const std::int64_t begin = (blockIdx.y + 1) * length, first = in.first(head), size = N * N;
  const std::int64_t end = begin + length < in.T_ ? begin + length : in.T_;
  const auto load = [&](bool second, std::int64_t t0) {
    const RawTile<N> raw{raws + (second ? kRaw : 0)};
    raw.load(in, head, t0);
    load_tile<N>(raw.dy(), dy ? dy + first : nullptr, t0, in.T_, in.C);
    cp_async_commit();
  };
  State<N> dS;
  dS.load(end == in.T_ && dstate ? dstate + head * size : nullptr);
  const std::int64_t last = begin + (end - 1 - begin) / kTokens * kTokens;
  load(false, last);
  bool start = starts_here(in, head, last), odd = false;
  for (std::int64_t t0 = last; t0 >= begin; t0 -= kTokens, odd = !odd) {
    const RawTile<N> raw{raws + (odd ? kRaw : 0)};
    const Starts starts = starts_of(start);
    cp_async_wait<0>();
    __syncthreads();
    if (t0 > begin) {
      load(!odd, t0 - kTokens);
      start = starts_here(in, head, t0 - kTokens);
    }
    const bool steep = x.make(raw, static_cast<int>(in.T_ - t0 < kTokens ? in.T_ - t0 : kTokens));
    __syncthreads();
    if (steep) {
      make_steep_scores<N, Raw>(raw, x.sum, starts, scores, ab);
    } else {
      make_scores(x, starts, scores, ab);
    }
    __syncthreads();
    if (warp_id() == 0) invert(ab, scores.inv);
    __syncthreads();
    backward_values<N, Raw>(x, raw, starts, steep, scores, nullptr, dS);
  }
  dS.store(to + (static_cast<std::int64_t>(head) * cuts + blockIdx.y) * size, false);
}

// Forward: at cut g, offsets <- offsets of g - 1 times the map of segment g, plus offsets, for g = 1, 2, ...
// Backward: the same with transposed maps, from the last cut down, where cut g - 1 follows from cut g. A
// block takes kRows rows of a head.
constexpr int kRows = 16, kMergeThreads = 256;
template <int N>
__global__ void wkv7_merge_cuts_kernel(float* offsets, const float* maps, int cuts, bool backward) {
  RT_SHARED(float, row, [kRows][N]);
  constexpr int kEach = kRows * N / kMergeThreads;
  const int column = static_cast<int>(threadIdx.x) % N, first = static_cast<int>(threadIdx.x) / N * kEach;
  const std::int64_t base = static_cast<std::int64_t>(blockIdx.x) * cuts * N * N;
  const std::int64_t at = base + (static_cast<std::int64_t>(blockIdx.y) * kRows + first) * N + column;
  for (int step = 1; step < cuts; ++step) {
    const int from = backward ? cuts - step : step - 1, to = backward ? from - 1 : step;
    const float* map = maps + base + static_cast<std::int64_t>(backward ? from : to) * N * N;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      row[first + i][column] = offsets[at + (static_cast<std::int64_t>(from) * N + i) * N];
    __syncthreads();
    float sum[kEach] = {};
    for (int k = 0; k < N; ++k) {
      const float m = backward ? map[column * N + k] : map[k * N + column];
#pragma unroll
      for (int i = 0; i < kEach; ++i) sum[i] += row[first + i][k] * m;
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) offsets[at + (static_cast<std::int64_t>(to) * N + i) * N] += sum[i];
  }
}

template <bool Raw>
void launch_maps(ExecContext& ctx, const Wkv7Args& a, const CarryOut& out, int segments, int maps) {
  const auto kernel = wkv7_forward_carry_chunk_kernel<64, Raw>;
  RT_LAUNCH(
      kernel,
      dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(segments), static_cast<unsigned>(maps)),
      dim3(128), kForwardBytes<64>, stream_of(ctx), Inputs<bf16_t>(a), out);
}

TensorView cuts_of(ExecContext& ctx, const Wkv7Args& a, const Split& split, std::string_view name) {
  const std::int64_t N = a.head_size;
  return ctx.scratch.alloc({heads_of(a), split.count - 1, N, N}, DType::F32, name);
}

void merge(ExecContext& ctx, const Wkv7Args& a, const TensorView& offsets, const TensorView& maps, int cuts,
           bool backward) {
  if (cuts < 2) return;
  const auto kernel = wkv7_merge_cuts_kernel<64>;
  RT_LAUNCH(kernel, dim3(static_cast<unsigned>(heads_of(a)), 64 / kRows), dim3(kMergeThreads), 0,
            stream_of(ctx), offsets.as<float>(), maps.as<float>(), cuts, backward);
}

}  // namespace

TensorView forward_cuts(ExecContext& ctx, const Wkv7Args& a, const Split& split) {
  if (split.count == 1) return {};
  const TensorView offsets = cuts_of(ctx, a, split, "wkv7.cuts"), maps = cuts_of(ctx, a, split, "wkv7.maps");
  if (ctx.dry_run) return offsets;
  const CarryOut out{offsets.as<float>(), maps.as<float>(), split.length, 0, 0, split.count - 1};
  const auto run = a.decay == Wkv7Decay::Raw ? launch_maps<true> : launch_maps<false>;
  run(ctx, a, out, split.count - 1, 2);
  merge(ctx, a, offsets, maps, split.count - 1, false);
  return offsets;
}

TensorView backward_cuts(ExecContext& ctx, const Wkv7Args& a, const Wkv7OutGrads& dout, const Split& split) {
  if (split.count == 1) return {};
  const TensorView offsets = cuts_of(ctx, a, split, "wkv7.dcuts"), maps = cuts_of(ctx, a, split, "wkv7.maps");
  if (ctx.dry_run) return offsets;
  const bool raw = a.decay == Wkv7Decay::Raw;
  if (split.count > 2) {
    const CarryOut out{nullptr, maps.as<float>(), split.length, 1, 1, split.count - 1};
    (raw ? launch_maps<true> : launch_maps<false>)(ctx, a, out, split.count - 2, 1);
  }
  const auto kernel =
      raw ? wkv7_backward_carry_chunk_kernel<64, true> : wkv7_backward_carry_chunk_kernel<64, false>;
  RT_LAUNCH(kernel, dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(split.count - 1)),
            dim3(128), kBackwardBytes<64>, stream_of(ctx), Inputs<bf16_t>(a),
            reinterpret_cast<const bf16_t*>(dout.y.data), dout.state ? dout.state.as<float>() : nullptr,
            offsets.as<float>(), split.length);
  merge(ctx, a, offsets, maps, split.count - 1, true);
  return offsets;
}

}  // namespace rt::cuda::wkv7_impl
