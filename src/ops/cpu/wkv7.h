#pragma once
#include <algorithm>
#include <atomic>
#include <memory>

#include "ops/cpu/simd.h"
#include "rt/core/exec.h"
#include "rt/core/parallel.h"
#include "rt/ops/wkv7.h"

// Shared ground of the CPU kernels of wkv7: tile shuffles, decays, and scratch per worker.
namespace rt::cpu::wkv7_impl {

using simd::vf;

inline constexpr int kNative = simd::kLanes;
inline constexpr int kSide = 16;  // of the tiles of S; head sizes are multiples of it
using v16 = float __attribute__((vector_size(4 * kSide)));
using m16 = std::int32_t __attribute__((vector_size(4 * kSide)));
using vn = vf;
inline vn load_native(const float* p) { return simd::load(p); }
inline void store_native(float* p, vn v) { simd::store(p, v); }

// Entries of S that are decayed and rarely written run into denormals, on which arithmetic is many times
// slower: generation slowed down by a third over some thousand tokens. While it lives, this thread treats
// them as zero.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : before_(__builtin_ia32_stmxcsr()) {
    constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
    __builtin_ia32_ldmxcsr(before_ | kFlushToZero | kDenormalsAreZero);
  }
  ~FlushDenormals() { __builtin_ia32_ldmxcsr(before_); }

 private:
  unsigned before_;
#else
  FlushDenormals() {}
#endif
 public:
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

// Element (b, t, first channel of head h) of a (B, T, C) view.
inline std::int64_t row_offset(const Wkv7Args& a, std::int64_t b, std::int64_t t, std::int64_t h) {
  return (b * a.r.shape[1] + t) * a.r.shape[2] + h * a.head_size;
}
inline bool is_reset(const Wkv7Args& a, std::int64_t b, std::int64_t t) {
  return a.reset && a.reset.as<std::uint8_t>()[b * a.r.shape[1] + t] != 0;
}

template <class T>
void widen(const T* from, float* to, std::int64_t n) {
  for (std::int64_t c = 0; c < n; c += kNative) simd::store(to + c, simd::load(from + c));
}

// d = decay of raw w, slope = d decay / d w. Finite for every finite w.
struct DecayVectors {
  vf d, slope;
};
inline DecayVectors decay(vf w, Wkv7Decay kind) {
  if (kind == Wkv7Decay::Raw) {
    const vf rate = simd::exp(w);
    const vf d = simd::exp(-rate);
    // simd::exp never returns 0: without the bound a huge rate would meet 1e-38 instead of 0.
    return {d, -d * simd::min(rate, simd::splat(100.0f))};
  }
  constexpr float kScale = 0.60653065971263342f;      // exp(-1/2)
  const vf e = simd::exp(-w), s = 1.0f / (1.0f + e);  // sigmoid
  // exp(-kScale s) lies in (0.545, 1): its Taylor series around the middle has relative error 5e-8.
  const vf z = 0.5f * kScale - kScale * s;
  vf p = z * (1.0f / 720) + 1.0f / 120;
  p = p * z + 1.0f / 24;
  p = p * z + 1.0f / 6;
  p = p * z + 0.5f;
  p = p * z + 1.0f;
  p = p * z + 1.0f;
  const vf d = p * 0.738403150f;          // exp(-kScale / 2)
  return {d, -kScale * d * s * (e * s)};  // e s is 1 - s without its cancellation where w is large
}

// slope may be null.
template <class T>
void decay_row(const T* w, std::int64_t N, Wkv7Decay kind, float* d, float* slope = nullptr) {
  const auto each = [&](auto constant_kind) {
    for (std::int64_t c = 0; c < N; c += kNative) {
      const DecayVectors x = decay(simd::load(w + c), constant_kind());
      simd::store(d + c, x.d);
      if (slope) simd::store(slope + c, x.slope);
    }
  };
  if (kind == Wkv7Decay::Raw) {
    each([] { return Wkv7Decay::Raw; });
  } else {
    each([] { return Wkv7Decay::Clamped; });
  }
}

// One level of a butterfly over vectors of 16 lanes: of two vectors, the lanes with bit Stride clear (low) or
// set (high), those of q moved next to those of p.
template <int Stride, std::size_t... I>
v16 low(v16 p, v16 q, std::index_sequence<I...>) {
  return RT_SHUFFLE(m16, p, q, static_cast<int>(I & Stride ? I - Stride + kSide : I)...);
}
template <int Stride, std::size_t... I>
v16 high(v16 p, v16 q, std::index_sequence<I...>) {
  return RT_SHUFFLE(m16, p, q, static_cast<int>(I & Stride ? I + kSide : I + Stride)...);
}
inline constexpr auto kLanes16 = std::make_index_sequence<kSide>();

// Levels 8, 4, 2, 1 of exchange transpose 16 vectors; those of fold leave the sum of vector i in lane i of
// the first.
template <int Stride>
void exchange(v16 (&x)[kSide]) {
  for (int i = 0; i < kSide; ++i) {
    if (i & Stride) continue;
    const v16 p = x[i], q = x[i + Stride];
    x[i] = low<Stride>(p, q, kLanes16);
    x[i + Stride] = high<Stride>(p, q, kLanes16);
  }
}
template <int Stride>
void fold(v16 (&x)[kSide]) {
  for (int i = 0; i < Stride; ++i) {
    x[i] = low<Stride>(x[i], x[i + Stride], kLanes16) + high<Stride>(x[i], x[i + Stride], kLanes16);
  }
}

// to[j][i] = from[i][j] for a 16 x 16 tile.
inline void transpose_tile(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  if constexpr (kNative == 16) {
    v16 x[kSide];
    for (int i = 0; i < kSide; ++i) std::memcpy(&x[i], from + i * from_stride, sizeof(v16));
    exchange<8>(x);
    exchange<4>(x);
    exchange<2>(x);
    exchange<1>(x);
    for (int i = 0; i < kSide; ++i) std::memcpy(to + i * to_stride, &x[i], sizeof(v16));
  } else {
    for (int j = 0; j < 16; ++j) {
      for (int i = 0; i < 16; ++i) to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}
// rows and columns are multiples of 16: to (columns, rows) = transpose of from (rows, columns).
inline void transpose(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride,
                      std::int64_t rows, std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; i += kSide) {
    for (std::int64_t j = 0; j < columns; j += kSide) {
      transpose_tile(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    }
  }
}

// to[i] = the sum of the native vector at from + i * stride, for 16 vectors.
inline void sum_rows(const float* from, std::int64_t stride, float* to) {
  if constexpr (kNative == 16) {
    v16 x[kSide];
    for (int i = 0; i < 16; ++i) std::memcpy(&x[i], from + i * stride, sizeof(v16));
    fold<8>(x);
    fold<4>(x);
    fold<2>(x);
    fold<1>(x);
    std::memcpy(to, &x[0], sizeof(v16));
  } else {
    for (int i = 0; i < 16; ++i) {
      const float* row = from + i * stride;
      float sum = 0;
      for (int lane = 0; lane < kNative; lane += 4) {
        sum += (row[lane] + row[lane + 1]) + (row[lane + 2] + row[lane + 3]);
      }
      to[i] = sum;
    }
  }
}

// Scratch for whichever pieces run at the same time: one slot per thread, not per piece, so that memory is
// bounded and stays in the cache of the core that uses it. Which slot a piece gets changes no result.
class WorkerScratch {
 public:
  WorkerScratch(ExecContext& ctx, std::int64_t pieces, std::int64_t floats, std::string_view name)
      : slots_(std::min<std::int64_t>(pieces, num_threads())),
        memory_(ctx.scratch.alloc({slots_, floats}, DType::F32, name)),
        taken_(std::make_unique<std::atomic<bool>[]>(static_cast<std::size_t>(slots_))) {}

  // f(scratch) with a slot nobody else holds.
  template <class F>
  void lend(const F& f) const {
    std::int64_t slot = 0;
    while (taken_[static_cast<std::size_t>(slot)].exchange(true, std::memory_order_acquire)) {
      slot = (slot + 1) % slots_;
    }
    f(memory_.as<float>() + slot * memory_.shape[1]);
    taken_[static_cast<std::size_t>(slot)].store(false, std::memory_order_release);
  }

 private:
  std::int64_t slots_;
  TensorView memory_;
  std::unique_ptr<std::atomic<bool>[]> taken_;
};

}  // namespace rt::cpu::wkv7_impl
