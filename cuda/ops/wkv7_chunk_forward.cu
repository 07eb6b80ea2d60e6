#include "cuda/ops/wkv7_chunk_split.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

struct ForwardOut {
  bf16_t* y;
  float* state;
  bf16_t* states;  // before each interval but the first; may be null
};

// Y' of a warp's 16 values and a chunk's tokens to rows of 32 bytes each. On the way it takes the place of
// the values' V, which no other warp reads.
__device__ __forceinline__ void store_rows(const float (&y)[2][4], bf16_t* tile, int value, bf16_t* to,
                                           std::int64_t C, int live) {
  const int row = lane_id() / 4, column = value + lane_id() % 4 * 2;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    *reinterpret_cast<unsigned*>(tile + tile_at(8 * (i / 2) + row, column + i % 2 * 8)) =
        movmatrix_trans(pack2(y[i / 2][i % 2 * 2], y[i / 2][i % 2 * 2 + 1]));
  }
  __syncwarp();
  const int t = lane_id() % kTokens, piece = lane_id() / kTokens * 8;
  const uint4 x = *reinterpret_cast<const uint4*>(tile + tile_at(t, value + piece));
  if (t < live) *reinterpret_cast<uint4*>(to + t * C + piece) = x;
}

// One chunk's part of Y and of the state.
__device__ __forceinline__ void carry_chunk(const Chunk<Pass::Forward>& x, State& S, float (&y)[2][4]) {
  const Starts starts{x.starts()};
  float z[2][4], u[2][4];
  unsigned s[kN / 16][4], v[4];
  clear(z);
  clear(y);
  clear(u);
  S.as_operand(s);
  add_state_product(z, s, x.a());
  add_state_product(y, s, x.q());
  if (starts.any()) {
    keep_columns(z, starts.seeing());
    keep_columns(y, starts.seeing());
    S.zero();
  }
  load_a_transposed(v, x.values(), 0, S.value);
  add_pairs(z, v, x.ak());
  add_pairs(y, v, x.qk());
  if (starts.any()) keep_columns(v, starts.seen());
  S.add(v, x.k());
  as_a(v, z);
  add_pairs(u, v, x.inv());
  as_a(v, u);
  add_pairs(y, v, x.qb());
  if (starts.any()) keep_columns(v, starts.seen());
  S.add(v, x.b());
  S.scale(x.last());
}

__global__ void __launch_bounds__(kPrepareThreads + 32 * kCarriers, 2)
    wkv7_forward_chunk_kernel(Inputs<bf16_t> in, ForwardOut out, Segment segments) {
  using X = Chunk<Pass::Forward>;
  Smem sm;
  bf16_t* const chunks = sm.take<bf16_t>(2 * kPreparers * X::kSize);
  const int head = static_cast<int>(blockIdx.x), segment = static_cast<int>(blockIdx.y);
  const std::int64_t begin = segment * segments.length, size = kN * kN;
  const std::int64_t end = begin + segments.length < in.T_ ? begin + segments.length : in.T_;
  const std::int64_t intervals = (in.T_ + kInterval - 1) / kInterval;
  State S;
  if (warp_id() >= kPreparers) {
    S.load(segment > 0 ? segments.cut(head, segment - 1) : in.s0 ? in.s0 + head * size : nullptr);
  }
  run_chunks(
      static_cast<int>((end - begin + kTokens - 1) / kTokens),
      [&](int slot, int i) {
        const std::int64_t t0 = begin + static_cast<std::int64_t>(i) * kTokens;
        prepare_chunk(in, nullptr, head, t0, X{chunks + slot * X::kSize});
      },
      [&](int slot, int i) {
        const std::int64_t t0 = begin + static_cast<std::int64_t>(i) * kTokens;
        if (out.states && t0 > 0 && t0 % kInterval == 0)
          S.save(out.states + (head * (intervals - 1) + t0 / kInterval - 1) * size);
        float y[2][4];
        const X x{chunks + slot * X::kSize};
        carry_chunk(x, S, y);
        store_rows(y, x.values(), S.value, out.y + in.first(head) + t0 * in.C + S.value, in.C,
                   static_cast<int>(in.T_ - t0 < kTokens ? in.T_ - t0 : kTokens));
      });
  if (warp_id() >= kPreparers && end == in.T_) S.store(out.state + head * size, false);
}

}  // namespace

void chunk_forward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  const Wkv7Split split = wkv7_split(heads_of(a), a.r.shape[1]);
  const ArenaScope scope(ctx.scratch);
  const TensorView cuts = forward_cuts(ctx, a, split, o.maps);
  if (ctx.dry_run) return;
  const ForwardOut out{reinterpret_cast<bf16_t*>(o.y.data), o.state.as<float>(),
                       reinterpret_cast<bf16_t*>(o.chunk_states.data)};
  RT_LAUNCH(wkv7_forward_chunk_kernel,
            dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(split.count)),
            dim3(kPrepareThreads + 32 * kCarriers), chunk_bytes<Pass::Forward>(2), stream_of(ctx),
            Inputs<bf16_t>(a), out, Segment{split.length, reinterpret_cast<const float*>(cuts.data)});
}

}  // namespace rt::cuda::wkv7_impl
