#include "cuda/ops/wkv7_chunk_steps.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

struct ForwardOut {
  Out<bf16_t> y;
  float* state;
  bf16_t* chunk_states;  // may be null
};

template <int N>
constexpr int kForwardTile = 6 * RawTile<N>::kSize;
template <int N>
constexpr std::size_t kForwardBytes = sizeof(bf16_t) * 2 * kForwardTile<N> + Operands<N, false>::kBytes +
                                      sizeof(bf16_t) * Scores::kSize + sizeof(float) * kTokens* kAbLd +
                                      sizeof(bf16_t) * kTokens* kPairLd*(N / 16);

// One block of N / 16 warps per head; a warp owns 16 values. Products are formed transposed (values x
// tokens), so that a result is an operand of the next product as it lies in the registers.
template <int N, bool Raw>
__global__ void __launch_bounds__(2 * N, 192 / N)
    wkv7_forward_chunk_kernel(Inputs<bf16_t> in, ForwardOut out, Segment segments) {
  Smem sm;
  bf16_t *const raw0 = sm.take<bf16_t>(kForwardTile<N>), *const raw1 = sm.take<bf16_t>(kForwardTile<N>);
  const Operands<N, Raw> x(sm);
  const Scores scores(sm.take<bf16_t>(Scores::kSize));
  float* ab = sm.take<float>(kTokens * kAbLd);
  bf16_t* stage = sm.take<bf16_t>(kTokens * kPairLd * (N / 16)) + warp_id() * kTokens * kPairLd;
  const int head = static_cast<int>(blockIdx.x), segment = static_cast<int>(blockIdx.y),
            value = warp_id() * 16;
  const std::int64_t begin = segment * segments.length;
  const std::int64_t end = begin + segments.length < in.T_ ? begin + segments.length : in.T_;
  const std::int64_t chunks = (in.T_ + kWkv7Chunk - 1) / kWkv7Chunk;
  State<N> S;
  S.load(segment > 0 ? segments.cut(head, segment - 1, N)
         : in.s0     ? in.s0 + static_cast<std::int64_t>(head) * N * N
                     : nullptr);
  RawTile<N>{raw0}.load(in, head, begin);
  cp_async_commit();
  bool start = starts_here(in, head, begin), odd = false;
  for (std::int64_t t0 = begin; t0 < end; t0 += kTokens, odd = !odd) {
    const RawTile<N> raw{odd ? raw1 : raw0};
    const int live = static_cast<int>(in.T_ - t0 < kTokens ? in.T_ - t0 : kTokens);
    const Starts starts = starts_of(start);
    cp_async_wait<0>();
    __syncthreads();
    if (t0 + kTokens < end) {
      RawTile<N>{odd ? raw0 : raw1}.load(in, head, t0 + kTokens);
      start = starts_here(in, head, t0 + kTokens);
    }
    cp_async_commit();
    if (out.chunk_states && t0 > 0 && t0 % kWkv7Chunk == 0) {
      S.save(out.chunk_states + (head * (chunks - 1) + t0 / kWkv7Chunk - 1) * N * N);
    }
    const bool steep = x.make(raw, live);
    __syncthreads();

    if (steep) {
      make_steep_scores<N, Raw>(raw, x.sum, starts, scores, ab);
    } else {
      make_scores(x, starts, scores, ab);
    }
    float z[2][4], y[2][4];
    clear(z);
    clear(y);
    {
      unsigned s[N / 16][4];
      S.as_operand(s);
      add_state_product<N>(z, s, x.a);
      add_state_product<N>(y, s, x.q);
    }
    if (starts.any()) {
      keep_columns(z, starts.seeing());
      keep_columns(y, starts.seeing());
      S.zero();
    }
    if (steep) S.scale(x.last);
    __syncthreads();

    if (warp_id() == 0) invert(ab, scores.inv);
    unsigned v[4], f[4];
    load_a_transposed(v, raw.v() + value, kLd<N>);
    load_b(f, scores.ak, kPairLd);
    multiply(z[0], z[1], v, f);
    load_b(f, scores.qk, kPairLd);
    multiply(y[0], y[1], v, f);
    if (starts.any()) keep_columns(v, starts.seen());
    S.add(v, x.k);
    unsigned zf[4];
    as_a(zf, z[0], z[1]);
    __syncthreads();

    float u[2][4];
    clear(u);
    load_b(f, scores.inv, kPairLd);
    multiply(u[0], u[1], zf, f);
    unsigned uf[4];
    as_a(uf, u[0], u[1]);
    load_b(f, scores.qb, kPairLd);
    multiply(y[0], y[1], uf, f);
    write_rows(stage, y, out.y, in.first(head) + t0 * in.C, in.C, live);
    if (starts.any()) keep_columns(uf, starts.seen());
    S.add(uf, x.b);
    if (!steep) S.scale(x.last);
  }
  if (end == in.T_) S.store(out.state + static_cast<std::int64_t>(head) * N * N, false);
}

}  // namespace

void chunk_forward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  const Split split = split_of(heads_of(a), a.r.shape[1]);
  const ArenaScope scope(ctx.scratch);
  const TensorView cuts = forward_cuts(ctx, a, split);
  if (ctx.dry_run) return;
  const ForwardOut out{Out<bf16_t>({o.y, GradMode::Overwrite}), o.state.as<float>(),
                       reinterpret_cast<bf16_t*>(o.chunk_states.data)};
  const auto kernel =
      a.decay == Wkv7Decay::Raw ? wkv7_forward_chunk_kernel<64, true> : wkv7_forward_chunk_kernel<64, false>;
  launch("wkv7_forward_chunk_kernel", kernel,
         dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(split.count)), dim3(128),
         kForwardBytes<64>, stream_of(ctx), Inputs<bf16_t>(a), out,
         Segment{split.length, reinterpret_cast<const float*>(cuts.data)});
}

}  // namespace rt::cuda::wkv7_impl
