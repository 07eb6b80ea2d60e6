#include <type_traits>

#include "ops/cpu/wkv7.h"

namespace rt::cpu {
namespace {

using namespace wkv7_impl;

// One piece is a head and a block of value lanes: rows of S are independent of each other. Inside, S is kept
// transposed, [key][lane], so that one pass over it per token updates it, forms y and forms the next token's
// sa with no horizontal sum. The block is what fits the registers: y, sa, the next sa and v.
constexpr std::int64_t kMaxLanes = 4 * kNative;
constexpr std::int64_t kPack = 8;  // tokens prepared at a time: S and they share the first-level cache
static_assert(kWkv7Chunk % kPack == 0);

struct Plan {
  std::int64_t heads, T, N, lanes, blocks, floats;
  explicit Plan(const Wkv7Args& a) : T(a.r.shape[1]), N(a.head_size) {
    heads = a.r.shape[0] * (a.r.shape[2] / N);
    lanes = heads < 8 ? std::min<std::int64_t>(kMaxLanes, 32) : kMaxLanes;  // few heads: more, smaller pieces
    lanes = std::min(lanes, N);
    blocks = (N + lanes - 1) / lanes;
    floats = N * lanes + N + kPack * kPacked * N;
  }
  static constexpr std::int64_t kPacked = 6;
};

// One token's vectors (N) in f32. d is the decay, 0 at a reset; a is the next token's, 0 when there is none
// or it is a reset, which makes its sa zero.
struct Token {
  const float *d, *b, *k, *r, *next_a, *v;
};

template <class T>
struct Inputs {
  const Wkv7Args& args;
  const T *r, *w, *k, *v, *a, *b;
  std::int64_t batch, first, N, C, T_;
  float *zero, *packed;  // (N), (kPack, 6, N)

  Inputs(const Wkv7Args& x, std::int64_t b_, std::int64_t h, float* scratch)
      : args(x),
        r(x.r.as<T>()),
        w(x.w.as<T>()),
        k(x.k.as<T>()),
        v(x.v.as<T>()),
        a(x.a.as<T>()),
        b(x.b.as<T>()),
        batch(b_),
        first(row_offset(x, b_, 0, h)),
        N(x.head_size),
        C(x.r.shape[2]),
        T_(x.r.shape[1]),
        zero(scratch),
        packed(scratch + N) {
    std::fill_n(zero, N, 0.0f);
  }
  std::int64_t row(std::int64_t t) const { return first + t * C; }

  // Makes d, and what is not f32 already, for tokens [t, end) with end - t <= kPack.
  void prepare(std::int64_t t, std::int64_t end) const {
    for (float* out = packed; t < end; ++t, out += Plan::kPacked * N) {
      if (is_reset(args, batch, t)) {
        std::fill_n(out, N, 0.0f);
      } else {
        decay_row(w + row(t), N, args.decay, out);
      }
      if constexpr (!std::is_same_v<T, float>) {
        widen(b + row(t), out + N, N);
        widen(k + row(t), out + 2 * N, N);
        widen(r + row(t), out + 3 * N, N);
        if (has_next(t)) widen(a + row(t + 1), out + 4 * N, N);
        widen(v + row(t), out + 5 * N, N);
      }
    }
  }
  bool has_next(std::int64_t t) const { return t + 1 < T_ && !is_reset(args, batch, t + 1); }
  Token token(std::int64_t t) const {
    const float* d = packed + t % kPack * Plan::kPacked * N;
    if constexpr (std::is_same_v<T, float>) {
      const std::int64_t at = row(t);
      return {d, b + at, k + at, r + at, has_next(t) ? a + at + C : zero, v + at};
    } else {
      return {d, d + N, d + 2 * N, d + 3 * N, has_next(t) ? d + 4 * N : zero, d + 5 * N};
    }
  }
  // A head's rows of successive tokens lie pages apart, where the hardware prefetches nothing: 16 channels of
  // token t. always_inline: g++ takes a function that only prefetches for one without effect and drops calls.
  [[gnu::always_inline]] inline void prefetch(std::int64_t t, std::int64_t c) const {
    const std::int64_t at = row(std::min(t, T_ - 1)) + c;
    __builtin_prefetch(w + at, 0, 2);
    __builtin_prefetch(b + at, 0, 2);
    __builtin_prefetch(k + at, 0, 2);
    __builtin_prefetch(r + at, 0, 2);
    __builtin_prefetch(v + at, 0, 2);
    __builtin_prefetch(a + at, 0, 2);
  }
};

// One token: S (N, V native vectors) and sa advance, y is formed. ahead(c) is called for c = 0, 16, ... on
// the way.
template <int V, class Ahead>
void advance(const Token& x, std::int64_t N, float* S, vn (&sa_io)[V], vn (&y_out)[V], std::int64_t lane,
             const Ahead& ahead) {
  vn v[V], sa[V], y[V], next[V];  // copies: through the references they would live in memory
  for (int u = 0; u < V; ++u) {
    v[u] = load_native(x.v + lane + u * kNative);
    sa[u] = sa_io[u];
    next[u] = y[u] = vn{};
  }
  for (std::int64_t c = 0; c < N; c += kSide) {
    ahead(c);
    for (std::int64_t j = c; j < c + kSide; ++j) {
      const float d = x.d[j], b = x.b[j], k = x.k[j], r = x.r[j], a = x.next_a[j];
      float* row = S + j * (V * kNative);
      for (int u = 0; u < V; ++u) {
        vn s = load_native(row + u * kNative);
        s = s * d + sa[u] * b + v[u] * k;
        store_native(row + u * kNative, s);
        y[u] += s * r;
        next[u] += s * a;
      }
    }
  }
  for (int u = 0; u < V; ++u) {
    sa_io[u] = next[u];
    y_out[u] = y[u];
  }
}

template <class T, int V>
void store_row(T* to, const vn (&x)[V]) {
  if constexpr (std::is_same_v<T, float>) {
    for (int u = 0; u < V; ++u) store_native(to + u * kNative, x[u]);
  } else {
    float wide[V * kNative];
    store_row(wide, x);
    for (int c = 0; c < V * kNative; c += kNative) simd::store(to + c, simd::load(wide + c));
  }
}

template <class T, int V>
void forward_block(const Wkv7Args& a, const Wkv7Outs& o, std::int64_t head, std::int64_t lane,
                   float* scratch) {
  constexpr std::int64_t W = V * kNative;
  const Plan plan(a);
  const std::int64_t N = plan.N, H = a.r.shape[2] / N, b = head / H;
  const std::int64_t chunks = (plan.T + kWkv7Chunk - 1) / kWkv7Chunk;
  const Inputs<T> in(a, b, head % H, scratch + N * W);
  T* y_rows = o.y.as<T>() + lane;
  float* sa_rows = o.sa ? o.sa.as<float>() + lane : nullptr;
  float* S = scratch;
  vn sa[V] = {}, y[V];
  if (a.s0 && !is_reset(a, b, 0)) {
    transpose(a.s0.as<float>() + (head * N + lane) * N, N, S, W, W, N);
    for (std::int64_t j = 0; j < N; ++j) {
      for (int u = 0; u < V; ++u) {
        sa[u] += load_native(S + j * W + u * kNative) * static_cast<float>(in.a[in.row(0) + j]);
      }
    }
  } else {
    std::fill_n(S, N * W, 0.0f);
  }
  for (std::int64_t t = 0; t < plan.T; ++t) {
    if (t % kPack == 0) in.prepare(t, std::min(t + kPack, plan.T));
    if (o.chunk_states && t > 0 && t % kWkv7Chunk == 0) {
      const std::int64_t at = head * (chunks - 1) + t / kWkv7Chunk - 1;
      transpose(S, W, o.chunk_states.as<float>() + (at * N + lane) * N, N, N, W);
    }
    const std::int64_t at = in.row(t);
    if (sa_rows) store_row(sa_rows + at, sa);
    const std::int64_t out_later = in.row(std::min(t + 2, plan.T - 1));
    advance<V>(
        in.token(t), N, S, sa, y, lane, [&](std::int64_t c) __attribute__((always_inline)) {
          in.prefetch(t + kPack, c);
          if (c >= W) return;
          __builtin_prefetch(y_rows + out_later + c, 1, 2);
          if (sa_rows) __builtin_prefetch(sa_rows + out_later + c, 1, 2);
        });
    store_row(y_rows + at, y);
  }
  transpose(S, W, o.state.as<float>() + (head * N + lane) * N, N, N, W);
}

}  // namespace

void wkv7_forward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  const Plan plan(a);
  const ArenaScope scope(ctx.scratch);
  const std::int64_t pieces = plan.heads * plan.blocks;
  const WorkerScratch scratch(ctx, pieces, plan.floats, "wkv7.forward");
  if (ctx.dry_run) return;
  simd::dispatch_storage(a.r.dtype, [&]<class T>(T) {
    parallel_for(pieces, 1, [&](std::int64_t first, std::int64_t end) {
      const FlushDenormals flush;
      for (std::int64_t i = first; i < end; ++i) {
        const std::int64_t head = i / plan.blocks, lane = i % plan.blocks * plan.lanes;
        scratch.lend([&](float* memory) {
          const auto vectors = std::min(plan.lanes, plan.N - lane) / kNative;
          if (vectors == 4) return forward_block<T, 4>(a, o, head, lane, memory);
          if constexpr (kNative == 16) {
            if (vectors == 3) return forward_block<T, 3>(a, o, head, lane, memory);
            if (vectors == 1) return forward_block<T, 1>(a, o, head, lane, memory);
          }
          return forward_block<T, 2>(a, o, head, lane, memory);
        });
      }
    });
  });
}

}  // namespace rt::cpu
