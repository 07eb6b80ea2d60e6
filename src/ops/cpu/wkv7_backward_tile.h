#pragma once
#include "ops/cpu/wkv7.h"

// The inner loops of wkv7's backward. Matrices are [value][key], cut into blocks of up to kRows values and
// tiles of up to kTile keys, each tile contiguous: kVectors is what fits the registers.
namespace rt::cpu::wkv7_impl {

inline constexpr int kVectors = kNative == 16 ? 2 : 1;
inline constexpr std::int64_t kTile = kVectors * kNative;
inline constexpr std::int64_t kRows = 64;

// f(first key, keys, offset of the tile in a block of `rows` values) for every tile of a block.
template <class F>
void for_each_tile(std::int64_t N, std::int64_t rows, const F& f) {
  for (std::int64_t key = 0; key < N; key += kTile) f(key, std::min(kTile, N - key), key * rows);
}

// From a block of plain rows [value][N] to its tiles.
inline void to_tiles(const float* plain, float* tiles, std::int64_t N, std::int64_t rows) {
  for_each_tile(N, rows, [&](std::int64_t key, std::int64_t keys, std::int64_t tile) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t c = 0; c < keys; c += kNative) {
        store_native(tiles + tile + i * keys + c, load_native(plain + i * N + key + c));
      }
    }
  });
}

// The vectors (N) of one token, f32. d and a are 0 at a reset: the state before the token does not reach it,
// nor its gradient go back.
struct Entry {
  const float *d, *a, *r, *k, *b, *v, *sa, *dy;
};

// What a pass makes, (N) each: dw (of the decay) and da of the token it finishes, the rest of the token it
// starts.
struct Sums {
  float *dw, *da, *dr, *dk, *db, *dv;
};

// Memory to be touched soon. Rows of successive tokens lie pages apart, where the hardware prefetches
// nothing, so lines of them are asked for between the rows of a pass, a few at a time.
struct Ahead {
  static constexpr int kMax = 10;
  const std::byte *read[kMax], *written[kMax];
  int reads = 0, writes = 0;
  std::int64_t bytes_per_key = 0;
  const float* state = nullptr;  // kStateStep floats of it per call
  static constexpr std::int64_t kStateStep = kTile * kSide / kWkv7Chunk;

  template <class T>
  void add_read(const T* p) {
    read[reads++] = reinterpret_cast<const std::byte*>(p);
  }
  template <class T>
  void add_write(const T* p) {
    if (p) written[writes++] = reinterpret_cast<const std::byte*>(p);
  }
  // Every `step`th row from `first`, `keys` keys from `key`. always_inline: g++ takes a function that only
  // prefetches for one without effect and drops calls.
  [[gnu::always_inline]] inline void prefetch(std::int64_t key, std::int64_t keys, int first, int step) {
    for (std::int64_t c = key; c < key + keys; c += kSide) {
      for (int i = first; i < reads; i += step) __builtin_prefetch(read[i] + c * bytes_per_key, 0, 2);
      for (int i = first; i < writes; i += step) __builtin_prefetch(written[i] + c * bytes_per_key, 1, 2);
    }
    if (state) {
      __builtin_prefetch(state, 0, 2);
      state += kStateStep;
    }
  }
};

// One tile of the recurrence: `after` (rows, V native vectors) from `before`.
template <int V>
void recompute_tile(const Entry& x, std::int64_t key, std::int64_t value, std::int64_t rows,
                    const float* before, float* after) {
  vn d[V], k[V], b[V];
  for (int u = 0; u < V; ++u) {
    d[u] = load_native(x.d + key + u * kNative);
    k[u] = load_native(x.k + key + u * kNative);
    b[u] = load_native(x.b + key + u * kNative);
  }
  const float *sa = x.sa + value, *v = x.v + value;
  for (std::int64_t i = 0; i < rows; ++i) {
    const float sa_i = sa[i], v_i = v[i];
    for (int u = 0; u < V; ++u) {
      const std::int64_t at = (i * V + u) * kNative;
      store_native(after + at, load_native(before + at) * d[u] + b[u] * sa_i + k[u] * v_i);
    }
  }
}

// One tile of the pass that finishes token x and starts token y, the one before; P is the state between them,
// dsa that of x. `partial` (rows, 2, native) collects dv and dsa of y over the tiles, First is the first of
// them.
template <int V, bool First>
void backward_tile(const Entry& x, const Entry& y, const Sums& sums, const float* dsa, float* partial,
                   std::int64_t key, std::int64_t value, std::int64_t rows, const float* P, float* G,
                   Ahead& ahead) {
  vn d[V], a[V], r[V], k[V], b[V], dw[V], da[V], dr[V], dk[V], db[V];
  for (int u = 0; u < V; ++u) {
    const std::int64_t c = key + u * kNative;
    d[u] = load_native(x.d + c);
    a[u] = load_native(x.a + c);
    r[u] = load_native(y.r + c);
    k[u] = load_native(y.k + c);
    b[u] = load_native(y.b + c);
    dw[u] = value == 0 ? vn{} : load_native(sums.dw + c);
    da[u] = value == 0 ? vn{} : load_native(sums.da + c);
    dr[u] = value == 0 ? vn{} : load_native(sums.dr + c);
    dk[u] = value == 0 ? vn{} : load_native(sums.dk + c);
    db[u] = value == 0 ? vn{} : load_native(sums.db + c);
  }
  const float *dy = y.dy + value, *v = y.v + value, *sa = y.sa + value;
  dsa += value;
  for (std::int64_t block = 0; block < rows; block += kSide) {
    ahead.prefetch(key, V * kNative, static_cast<int>(block / kSide), static_cast<int>(rows / kSide));
    for (std::int64_t i = block; i < block + kSide; ++i, partial += 2 * kNative) {
      const float dsa_i = dsa[i], dy_i = dy[i], v_i = v[i], sa_i = sa[i];
      vn dv = First ? vn{} : load_native(partial), next = First ? vn{} : load_native(partial + kNative);
      for (int u = 0; u < V; ++u) {
        const std::int64_t at = (i * V + u) * kNative;
        const vn p = load_native(P + at);
        vn g = load_native(G + at);
        dw[u] += g * p;
        da[u] += p * dsa_i;
        g = g * d[u] + a[u] * dsa_i + r[u] * dy_i;
        store_native(G + at, g);
        dr[u] += p * dy_i;
        dk[u] += g * v_i;
        db[u] += g * sa_i;
        dv += g * k[u];
        next += g * b[u];
      }
      store_native(partial, dv);
      store_native(partial + kNative, next);
    }
  }
  for (int u = 0; u < V; ++u) {
    const std::int64_t c = key + u * kNative;
    store_native(sums.dw + c, dw[u]);
    store_native(sums.da + c, da[u]);
    store_native(sums.dr + c, dr[u]);
    store_native(sums.dk + c, dk[u]);
    store_native(sums.db + c, db[u]);
  }
}

}  // namespace rt::cpu::wkv7_impl
