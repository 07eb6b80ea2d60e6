#include <type_traits>

#include "ops/cpu/wkv7_backward_tile.h"

namespace rt::cpu {
namespace {

using namespace wkv7_impl;

// One piece is a head. It walks the chunks from the last to the first: recomputes the states of the chunk
// from the saved one (and the saved sa), then goes backwards. Here S and dS are [value][key], so the sums
// over values, which are five of the seven, are plain additions; the two over keys (dv, dsa) use sum_rows.
//
// dS and S are streamed once per token: a pass finishes token t and starts token t - 1, which share S_{t-1}.
// A chunk of tokens t0 .. t0 + n - 1 therefore makes the passes (t0, t0 - 1) .. (t0 + n - 1, t0 + n - 2); the
// last chunk starts with one more, whose first half is a token that changes nothing (d = 1, a = 0). Entry e
// is token t0 - 1 + e; slot e holds the state after it.
constexpr std::int64_t kEntries = kWkv7Chunk + 2;

struct Chunk {
  std::int64_t b, h, head, index, count, t0, T, last_entry;
  Chunk(const Wkv7Args& a, std::int64_t head_, std::int64_t index_) : head(head_), index(index_) {
    const std::int64_t H = a.r.shape[2] / a.head_size;
    T = a.r.shape[1];
    b = head / H;
    h = head % H;
    count = (T + kWkv7Chunk - 1) / kWkv7Chunk;
    t0 = index * kWkv7Chunk;
    const std::int64_t n = std::min(kWkv7Chunk, T - t0);
    last_entry = index + 1 == count ? n + 1 : n;
  }
  std::int64_t token(std::int64_t entry) const { return t0 - 1 + entry; }
  bool has(std::int64_t entry) const { return token(entry) >= 0 && token(entry) < T; }
};

struct Memory {
  enum { kR, kK, kB, kV, kA, kDy, kPacked };
  std::int64_t N, rows;
  float *dS, *states, *d, *slope, *packed, *sums, *dsa, *partial, *zero, *one;
  static std::int64_t floats(std::int64_t N) {
    const std::int64_t rows = std::min(N, kRows);
    return N * N + (kWkv7Chunk + 1) * rows * N + kEntries * (2 + kPacked + 6) * N + rows * 2 * kNative +
           3 * N;
  }
  Memory(float* base, std::int64_t head_size) : N(head_size), rows(std::min(N, kRows)) {
    const auto take = [&](std::int64_t floats) {
      float* p = base;
      base += floats;
      return p;
    };
    dS = take(N * N);
    states = take((kWkv7Chunk + 1) * rows * N);
    d = take(kEntries * N);
    slope = take(kEntries * N);
    packed = take(kEntries * kPacked * N);
    sums = take(kEntries * 6 * N);
    partial = take(rows * 2 * kNative);
    dsa = take(N);
    zero = take(N);
    one = take(N);
  }
  float* state(std::int64_t slot) const { return states + slot * rows * N; }
  float* row(std::int64_t entry, int which) const { return packed + (entry * kPacked + which) * N; }
  // One block of values finishes its sums at once, in one place; more than one keep them per pass.
  Sums sums_of(std::int64_t pass) const {
    float* p = sums + (rows == N ? 0 : pass * 6 * N);
    return {p, p + N, p + 2 * N, p + 3 * N, p + 4 * N, p + 5 * N};
  }
};

template <class T>
struct Pointers {
  const T *r, *w, *k, *v, *a, *b, *dy;
  const float* sa;
  T *dr, *dw, *dk, *dv, *da, *db;
  Pointers(const Wkv7Args& x, const Wkv7Outs& o, const TensorView& y_grad, const Wkv7Grads& g) {
    r = x.r.as<T>(), w = x.w.as<T>(), k = x.k.as<T>();
    v = x.v.as<T>(), a = x.a.as<T>(), b = x.b.as<T>();
    dy = y_grad ? y_grad.as<T>() : nullptr;
    sa = o.sa.as<float>();
    dr = out(g.r), dw = out(g.w), dk = out(g.k);
    dv = out(g.v), da = out(g.a), db = out(g.b);
  }
  static T* out(const GradSlot& slot) { return slot ? slot.view.as<T>() : nullptr; }
};

template <class T>
class Head {
 public:
  Head(const Wkv7Args& a, const Wkv7Outs& o, const Wkv7OutGrads& dout, const Wkv7Grads& g, float* memory)
      : a_(a), o_(o), dout_(dout), g_(g), p_(a, o, dout.y, g), m_(memory, a.head_size), N_(m_.N) {}

  void run(std::int64_t head) const {
    std::fill_n(m_.dsa, 2 * N_, 0.0f);  // and zero
    std::fill_n(m_.one, N_, 1.0f);
    const std::int64_t at = head * N_ * N_;
    for (std::int64_t i = 0; i < N_; i += m_.rows) {
      float* block = m_.dS + i * N_;
      const std::int64_t rows = std::min(m_.rows, N_ - i);
      if (dout_.state)
        to_tiles(dout_.state.as<float>() + at + i * N_, block, N_, rows);
      else
        std::fill_n(block, rows * N_, 0.0f);
    }
    for (std::int64_t c = (a_.r.shape[1] + kWkv7Chunk - 1) / kWkv7Chunk; c-- > 0;) {
      const Chunk chunk(a_, head, c);
      prepare(chunk);
      for (std::int64_t i = 0; i < N_; i += m_.rows) block(chunk, i, std::min(m_.rows, N_ - i));
    }
    if (!g_.s0) return;
    for (std::int64_t i = 0; i < N_; i += m_.rows) put_state(at, i, std::min(m_.rows, N_ - i));
  }

 private:
  // d and its slope for the tokens a chunk finishes; everything else too where storage is not f32.
  void prepare(const Chunk& chunk) const {
    for (std::int64_t e = 0; e <= chunk.last_entry; ++e) {
      if (!chunk.has(e)) continue;
      const std::int64_t at = row_offset(a_, chunk.b, chunk.token(e), chunk.h);
      if (e > 0 && is_reset(a_, chunk.b, chunk.token(e))) {
        std::fill_n(m_.d + e * N_, N_, 0.0f);
        std::fill_n(m_.slope + e * N_, N_, 0.0f);
      } else if (e > 0) {
        decay_row(p_.w + at, N_, a_.decay, m_.d + e * N_, m_.slope + e * N_);
      }
      if constexpr (!std::is_same_v<T, float>) {
        widen(p_.r + at, m_.row(e, Memory::kR), N_);
        widen(p_.k + at, m_.row(e, Memory::kK), N_);
        widen(p_.b + at, m_.row(e, Memory::kB), N_);
        widen(p_.v + at, m_.row(e, Memory::kV), N_);
        widen(p_.a + at, m_.row(e, Memory::kA), N_);
        if (p_.dy) widen(p_.dy + at, m_.row(e, Memory::kDy), N_);
      }
    }
  }

  Entry entry(const Chunk& chunk, std::int64_t e) const {
    const float* zero = m_.zero;
    if (!chunk.has(e)) return {m_.one, zero, zero, zero, zero, zero, zero, zero};
    const std::int64_t at = row_offset(a_, chunk.b, chunk.token(e), chunk.h);
    const float* d = m_.d + e * N_;
    const bool cut = is_reset(a_, chunk.b, chunk.token(e));
    if constexpr (std::is_same_v<T, float>) {
      return {d,          cut ? zero : p_.a + at,   p_.r + at, p_.k + at, p_.b + at, p_.v + at,
              p_.sa + at, p_.dy ? p_.dy + at : zero};
    } else {
      return {d,
              cut ? zero : m_.row(e, Memory::kA),
              m_.row(e, Memory::kR),
              m_.row(e, Memory::kK),
              m_.row(e, Memory::kB),
              m_.row(e, Memory::kV),
              p_.sa + at,
              p_.dy ? m_.row(e, Memory::kDy) : zero};
    }
  }

  // The state before a chunk, rows [value, N) of it; null when zero.
  const float* saved_state(const Chunk& chunk, std::int64_t index, std::int64_t value) const {
    if (index > 0) {
      return o_.chunk_states.as<float>() + ((chunk.head * (chunk.count - 1) + index - 1) * N_ + value) * N_;
    }
    return a_.s0 ? a_.s0.as<float>() + (chunk.head * N_ + value) * N_ : nullptr;
  }

  // For the passes after pass e: its rows three passes on, what it writes two passes on, what the recompute
  // of the next chunk reads, and that chunk's state.
  Ahead look_ahead(const Chunk& chunk, std::int64_t e, std::int64_t value, std::int64_t rows) const {
    Ahead ahead;
    ahead.bytes_per_key = sizeof(T);
    if (value == 0 && chunk.token(e) >= 3) {
      const std::int64_t at = row_offset(a_, chunk.b, chunk.token(e) - 3, chunk.h), one = a_.r.shape[2];
      ahead.add_read(p_.r + at);
      ahead.add_read(p_.a + at);
      if (p_.dy) ahead.add_read(p_.dy + at);
      for (T* p : {p_.dr, p_.dk, p_.db, p_.dv}) ahead.add_write(p ? p + at : p);
      for (T* p : {p_.dw, p_.da}) ahead.add_write(p ? p + at + one : p);
      if (chunk.token(e) >= kWkv7Chunk) {
        const std::int64_t before = at - (kWkv7Chunk - 3) * one;
        for (const T* p : {p_.w, p_.k, p_.b, p_.v}) ahead.add_read(p + before);
        if constexpr (std::is_same_v<T, float>) ahead.add_read(p_.sa + before);
      }
    }
    const std::int64_t calls = (chunk.last_entry - e) * (rows / kSide) * ((N_ + kTile - 1) / kTile);
    const bool inside = value + rows < N_;
    if (inside || chunk.index > 0) {
      const float* state =
          inside ? saved_state(chunk, chunk.index, value + rows) : saved_state(chunk, chunk.index - 1, 0);
      if (state) ahead.state = state + calls * Ahead::kStateStep;
    }
    return ahead;
  }

  // Recomputes and walks back one block of values [value, value + rows) of a chunk.
  void block(const Chunk& chunk, std::int64_t value, std::int64_t rows) const {
    if (const float* state = saved_state(chunk, chunk.index, value))
      to_tiles(state, m_.state(0), N_, rows);
    else
      std::fill_n(m_.state(0), rows * N_, 0.0f);
    for (std::int64_t e = 1; e < chunk.last_entry; ++e) {
      const Entry x = entry(chunk, e);
      for_each_tile(N_, rows, [&](std::int64_t key, std::int64_t keys, std::int64_t tile) {
        const auto tile_kernel = keys == kTile ? recompute_tile<kVectors> : recompute_tile<1>;
        tile_kernel(x, key, value, rows, m_.state(e - 1) + tile, m_.state(e) + tile);
      });
    }
    for (std::int64_t e = chunk.last_entry; e > 0; --e) {
      const Entry x = entry(chunk, e), y = entry(chunk, e - 1);
      const Sums sums = m_.sums_of(e);
      Ahead ahead = look_ahead(chunk, e, value, rows);
      for_each_tile(N_, rows, [&](std::int64_t key, std::int64_t keys, std::int64_t tile) {
        const auto tile_kernel = keys != kTile ? (key == 0 ? backward_tile<1, true> : backward_tile<1, false>)
                                 : key == 0    ? backward_tile<kVectors, true>
                                               : backward_tile<kVectors, false>;
        tile_kernel(x, y, sums, m_.dsa, m_.partial, key, value, rows, m_.state(e - 1) + tile,
                    m_.dS + value * N_ + tile, ahead);
      });
      for (std::int64_t i = 0; i < rows; i += kSide) {
        const float* partial = m_.partial + i * 2 * kNative;
        sum_rows(partial, 2 * kNative, sums.dv + value + i);
        sum_rows(partial + kNative, 2 * kNative, m_.dsa + value + i);
      }
      if (value + rows == N_) put_pass(chunk, e, sums);
    }
  }

  template <class U, class F>
  static void put(U* row, std::int64_t n, bool accumulate, const F& value) {
    if (!row) return;
    for (std::int64_t c = 0; c < n; c += kNative) {
      vf x = value(c);
      if (accumulate) x += simd::load(row + c);
      simd::store(row + c, x);
    }
  }
  void put_sum(T* base, std::int64_t at, GradMode mode, const float* sum) const {
    put(base ? base + at : base, N_, mode == GradMode::Accumulate,
        [&](std::int64_t c) { return simd::load(sum + c); });
  }
  void put_pass(const Chunk& chunk, std::int64_t e, const Sums& sums) const {
    if (chunk.has(e)) {
      const std::int64_t t = chunk.token(e), at = row_offset(a_, chunk.b, t, chunk.h);
      const float* slope = m_.slope + e * N_;
      put(p_.dw ? p_.dw + at : p_.dw, N_, g_.w.mode == GradMode::Accumulate,
          [&](std::int64_t c) { return simd::load(sums.dw + c) * simd::load(slope + c); });
      put_sum(p_.da, at, g_.a.mode, is_reset(a_, chunk.b, t) ? m_.zero : sums.da);
    }
    if (chunk.has(e - 1)) {
      const std::int64_t at = row_offset(a_, chunk.b, chunk.token(e - 1), chunk.h);
      put_sum(p_.dr, at, g_.r.mode, sums.dr);
      put_sum(p_.dk, at, g_.k.mode, sums.dk);
      put_sum(p_.db, at, g_.b.mode, sums.db);
      put_sum(p_.dv, at, g_.v.mode, sums.dv);
    }
  }
  void put_state(std::int64_t at, std::int64_t value, std::int64_t rows) const {
    float* to = g_.s0.view.as<float>() + at + value * N_;
    const float* from = m_.dS + value * N_;
    for_each_tile(N_, rows, [&](std::int64_t key, std::int64_t keys, std::int64_t tile) {
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t c = 0; c < keys; ++c) {
          float& x = to[i * N_ + key + c];
          x = from[tile + i * keys + c] + (g_.s0.mode == GradMode::Accumulate ? x : 0.0f);
        }
      }
    });
  }

  const Wkv7Args& a_;
  const Wkv7Outs& o_;
  const Wkv7OutGrads& dout_;
  const Wkv7Grads& g_;
  Pointers<T> p_;
  Memory m_;
  std::int64_t N_;
};

}  // namespace

void wkv7_backward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o, const Wkv7OutGrads& dout,
                   const Wkv7Grads& g) {
  const std::int64_t heads = a.r.shape[0] * (a.r.shape[2] / a.head_size);
  const ArenaScope scope(ctx.scratch);
  const WorkerScratch scratch(ctx, heads, Memory::floats(a.head_size), "wkv7.backward");
  if (ctx.dry_run) return;
  simd::dispatch_storage(a.r.dtype, [&]<class T>(T) {
    parallel_for(heads, 1, [&](std::int64_t first, std::int64_t end) {
      const FlushDenormals flush;
      for (std::int64_t i = first; i < end; ++i) {
        scratch.lend([&](float* memory) { Head<T>(a, o, dout, g, memory).run(i); });
      }
    });
  });
}

}  // namespace rt::cpu
