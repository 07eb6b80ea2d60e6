#include "cuda/ops/wkv7_chunk_pairs.cuh"
#include "cuda/ops/wkv7_chunk_steps.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

struct BackwardIn {
  const bf16_t* dy;            // may be null: zero
  const float* dstate;         // may be null: zero
  const bf16_t* chunk_states;  // every kWkv7Chunk tokens
};
struct BackwardOut {
  Out<bf16_t> r, w, k, v, a, b;
  Out<float> s0;
};

// Shared memory. What is named twice in a line is one array whose uses a barrier parts; raw, state, u and
// scores are there for each of the two chunks.
template <int N>
struct BackwardMemory {
  static constexpr int kTile = kTokens * kLd<N>, kFloatTile = kTokens * kFloatLd<N>, kStateTile = N * kLd<N>;
  bf16_t *raw_, *state_, *u_, *scores_;
  bf16_t* dx;       // [token][value]; Aab
  bf16_t* dstate;   // dS' [value][key]; exchange of dk, db
  float4* dscores;  // (16, 16); stages of dv
  float *vs, *us;   // V dS', U dS' [token][key]
  __device__ __forceinline__ explicit BackwardMemory(Smem& sm) {
    raw_ = sm.take<bf16_t>(2 * 7 * kTile);
    state_ = sm.take<bf16_t>(2 * kStateTile);
    u_ = sm.take<bf16_t>(2 * kTile);
    scores_ = sm.take<bf16_t>(2 * Scores::kSize);
    dx = sm.take<bf16_t>(kTile);
    dstate = sm.take<bf16_t>(kStateTile);
    dscores = sm.take<float4>(kTokens * kTokens);
    vs = sm.take<float>(kFloatTile);
    us = sm.take<float>(kFloatTile);
  }
  static constexpr std::size_t kBytes = sizeof(bf16_t) * (17 * kTile + 3 * kStateTile + 2 * Scores::kSize) +
                                        sizeof(float4) * kTokens * kTokens + sizeof(float) * 2 * kFloatTile;
  __device__ __forceinline__ RawTile<N> raw(int i) const { return {raw_ + i * 7 * kTile}; }
  __device__ __forceinline__ bf16_t* state(int i) const {
    return state_ + i * kStateTile;
  }  // before the chunk
  __device__ __forceinline__ bf16_t* u(int i) const { return u_ + i * kTile; }
  __device__ __forceinline__ Scores scores(int i) const { return Scores(scores_ + i * Scores::kSize); }
};

// The gradients of a chunk's r, w, k, a, b as tiles in shared memory.
struct Gradients {
  bf16_t *r, *w, *k, *a, *b;
};

// Half of the threads take the early rows and finish dk and db, half the late rows and dw; in between they
// exchange their parts of the sums. dw may be the memory of the scores' gradients.
template <int N, bool Raw>
__device__ __forceinline__ void backward_pairs(PairInputs<N> x, Gradients d, bool whole, bool steep,
                                               const float* through, const float* last, float* keys,
                                               float* decays) {
  const int c = static_cast<int>(threadIdx.x) % N;
  const bool early = static_cast<int>(threadIdx.x) < N;
  for (const bf16_t** p : {&x.r, &x.w, &x.k, &x.a, &x.b}) *p += c;
  for (bf16_t** p : {&d.r, &d.w, &d.k, &d.a, &d.b}) *p += c;
  for (const float** p : {&x.sum, &x.dy_state, &x.dx_state, &x.v_state, &x.u_state}) *p += c;
  x.last = steep ? x.at(x.sum, kTokens - 1) : 0;
  keys += c;
  decays += c;
  Pairs<N, Raw> pairs;
  if (early) {
    pairs.template rows<0, kEarlyRows>(x, d.r, d.a);
#pragma unroll
    for (int t = 0; t < kEarlyRows; ++t) decays[t * N] = pairs.dlog[t];
  } else {
    pairs.template rows<kEarlyRows, kTokens>(x, d.r, d.a);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      keys[2 * t * N] = pairs.dk[t];
      keys[(2 * t + 1) * N] = pairs.db[t];
    }
  }
  __syncthreads();
  if (early) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      pairs.dk[t] += keys[2 * t * N];
      pairs.db[t] += keys[(2 * t + 1) * N];
    }
    pairs.finish_keys(x, d.k, d.b);
  } else {
#pragma unroll
    for (int t = 0; t < kEarlyRows; ++t) pairs.dlog[t] += decays[t * N];
    float sum = 0;
    if (whole) {
      for (int i = 0; i < 4; ++i) sum += through[i * N + c];
      if (steep) sum *= last[c];
    }
    pairs.finish_decay(x, sum, d.w);
  }
}

template <int N>
__device__ __forceinline__ void store_gradients(const Gradients& d, const BackwardOut& out, std::int64_t at,
                                                std::int64_t C, int live) {
  const int t = static_cast<int>(threadIdx.x) / (N / 8), c = static_cast<int>(threadIdx.x) % (N / 8) * 8;
  if (t >= live) return;
  const int from = t * kLd<N> + c;
  at += t * C + c;
  put8(out.r, at, d.r + from);
  put8(out.w, at, d.w + from);
  put8(out.k, at, d.k + from);
  put8(out.a, at, d.a + from);
  put8(out.b, at, d.b + from);
}

template <int N, bool Raw>
__global__ void __launch_bounds__(2 * N, 128 / N)
    wkv7_backward_chunk_kernel(Inputs<bf16_t> in, BackwardIn grads, BackwardOut out, Segment segments) {
  Smem sm;
  const Operands<N, Raw> x(sm);
  const BackwardMemory<N> memory(sm);
  float* const ab = reinterpret_cast<float*>(memory.dx);
  // Reused once Q, A, K, B are: rows of dY S and dX S.
  float *const dys = reinterpret_cast<float*>(x.q), *const dxs = reinterpret_cast<float*>(x.k);
  const int head = static_cast<int>(blockIdx.x);
  const std::int64_t first = in.first(head), size = N * N;
  const int intervals = static_cast<int>((in.T_ + kWkv7Chunk - 1) / kWkv7Chunk);  // between saved states
  const int segment = static_cast<int>(blockIdx.y);
  const bool last = segment + 1 == static_cast<int>(gridDim.y);
  const int per_segment = static_cast<int>(segments.length / kWkv7Chunk);
  const int first_interval = segment * per_segment;
  const int end_interval = last ? intervals : first_interval + per_segment;
  const auto load = [&](int which, std::int64_t t0) {
    const RawTile<N> raw = memory.raw(which);
    raw.load(in, head, t0);
    load_tile<N>(raw.dy(), grads.dy ? grads.dy + first : nullptr, t0, in.T_, in.C);
    cp_async_commit();
  };
  const auto start_bit = [&](std::int64_t t0) {
    const std::int64_t t = t0 + lane_id();
    return t < in.T_ && in.is_reset(head, t);
  };
  State<N> S, dS;
  dS.load(!last ? segments.cut(head, segment, N) : grads.dstate ? grads.dstate + head * size : nullptr);
  int buffer = 0;  // holds chunk 0 of the interval
  load(buffer, (end_interval - 1) * kWkv7Chunk);
  bool start = start_bit((end_interval - 1) * kWkv7Chunk);
  for (int interval = end_interval; interval-- > first_interval;) {
    const std::int64_t begin = interval * kWkv7Chunk;
    const bool two = begin + kTokens < in.T_;
    const unsigned bits = __ballot_sync(kFullMask, start);
    if (interval > first_interval) start = start_bit(begin - kWkv7Chunk);
    if (interval > 0) {
      S.restore(grads.chunk_states +
                (static_cast<std::int64_t>(head) * (intervals - 1) + interval - 1) * size);
    } else {
      S.load(in.s0 ? in.s0 + head * size : nullptr);
    }
    // Chunk 0 forward; chunk 1 forward and backward; chunk 0 backward. Or chunk 0 both.
    for (int step = two ? 0 : 1; step < (two ? 3 : 2); ++step) {
      const int chunk = two && step == 1 ? 1 : 0, which = buffer ^ chunk;
      const bool forward = step<2, backward = step> 0;
      const std::int64_t t0 = begin + chunk * kTokens, at = first + t0 * in.C;
      const int live = static_cast<int>(in.T_ - t0 < kTokens ? in.T_ - t0 : kTokens);
      const Starts starts{chunk ? bits >> 16 : bits & 0xffffu};
      const RawTile<N> raw = memory.raw(which);
      const Scores scores = memory.scores(which);
      cp_async_wait<0>();
      __syncthreads();
      if (step == 0) {
        load(buffer ^ 1, begin + kTokens);
      } else if (chunk == 0 && interval > first_interval) {
        load(buffer ^ 1, begin - kWkv7Chunk);
      }
      if (forward) S.put(memory.state(which));
      const bool steep = x.make(raw, live);
      __syncthreads();
      if (forward) {
        recompute_chunk<N, Raw>(x, raw, starts, steep, scores, ab, memory.u(which), !backward, false, S);
        if (!backward) continue;
      }
      const ValueGradients<N> to{memory.dx,
                                 memory.dstate,
                                 reinterpret_cast<bf16_t*>(memory.dscores) + warp_id() * kTokens * kPairLd,
                                 out.v,
                                 at,
                                 in.C,
                                 live};
      backward_values<N, Raw>(x, raw, starts, steep, scores, &to, dS);
      __syncthreads();
      score_gradients<N>(raw.dy(), memory.dx, raw.v(), memory.u(which), starts, memory.dscores);
      column_sums<N>(memory.state(which), memory.dstate, x.part);
      products_with_state<N>(raw.dy(), memory.dx, memory.state(which), dys, dxs);
      products_with_state<N>(raw.v(), memory.u(which), memory.dstate, memory.vs, memory.us);
      __syncthreads();
      const PairInputs<N> pairs{raw.r(),   raw.w(),         raw.k(),       raw.a(), raw.b(),
                                x.sum,     memory.dscores,  dys,           dxs,     memory.vs,
                                memory.us, starts.seeing(), starts.seen(), 0};
      // Tiles that are not read any more, dscores from the barrier inside on.
      const Gradients tiles{raw.dy(), reinterpret_cast<bf16_t*>(memory.dscores), memory.u(which), raw.v(),
                            memory.dx};
      backward_pairs<N, Raw>(pairs, tiles, !starts.any(), steep, x.part, x.last,
                             reinterpret_cast<float*>(memory.dstate),
                             reinterpret_cast<float*>(memory.state(which)));
      __syncthreads();
      store_gradients<N>(tiles, out, at, in.C, live);
      S.zero();  // it is not needed again; this tells the compiler
    }
    buffer ^= 1;
  }
  if (out.s0.data && segment == 0) dS.store(out.s0.data + head * size, out.s0.accumulate);
}

}  // namespace

void chunk_backward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o, const Wkv7OutGrads& dout,
                    const Wkv7Grads& g) {
  const Split split = split_of(heads_of(a), a.r.shape[1]);
  const ArenaScope scope(ctx.scratch);
  const TensorView cuts = backward_cuts(ctx, a, dout, split);
  if (ctx.dry_run) return;
  const BackwardIn grads{reinterpret_cast<const bf16_t*>(dout.y.data),
                         dout.state ? dout.state.as<float>() : nullptr,
                         reinterpret_cast<const bf16_t*>(o.chunk_states.data)};
  const BackwardOut out{Out<bf16_t>(g.r), Out<bf16_t>(g.w), Out<bf16_t>(g.k), Out<bf16_t>(g.v),
                        Out<bf16_t>(g.a), Out<bf16_t>(g.b), Out<float>(g.s0)};
  const auto kernel = a.decay == Wkv7Decay::Raw ? wkv7_backward_chunk_kernel<64, true>
                                                : wkv7_backward_chunk_kernel<64, false>;
  launch("wkv7_backward_chunk_kernel", kernel,
         dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(split.count)), dim3(128),
         Operands<64, false>::kBytes + BackwardMemory<64>::kBytes, stream_of(ctx), Inputs<bf16_t>(a), grads,
         out, Segment{split.length, reinterpret_cast<const float*>(cuts.data)});
}

}  // namespace rt::cuda::wkv7_impl
