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

using simd::kLanes;
using simd::vf;

// The inner loops use the machine's own vectors: g++ keeps wider ones in memory.
#if defined(__AVX512F__)
inline constexpr int kNative = 16;
#elif defined(__AVX__)
inline constexpr int kNative = 8;
#else
inline constexpr int kNative = 4;
#endif
using vn = float __attribute__((vector_size(4 * kNative)));
inline vn load_native(const float* p) {
  vn v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void store_native(float* p, vn v) { std::memcpy(p, &v, sizeof(v)); }

// Element (b, t, first channel of head h) of a (B, T, C) view.
inline std::int64_t row_offset(const Wkv7Args& a, std::int64_t b, std::int64_t t, std::int64_t h) {
  return (b * a.r.shape[1] + t) * a.r.shape[2] + h * a.head_size;
}
inline bool is_reset(const Wkv7Args& a, std::int64_t b, std::int64_t t) {
  return a.reset && a.reset.as<std::uint8_t>()[b * a.r.shape[1] + t] != 0;
}

template <class T>
void widen(const T* from, float* to, std::int64_t n) {
  for (std::int64_t c = 0; c < n; c += kLanes) simd::store(to + c, simd::load(from + c));
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
  constexpr float kScale = 0.60653065971263342f;  // exp(-1/2)
  const vf s = simd::sigmoid(w);
  // exp(-kScale s) lies in (0.545, 1): its Taylor series around the middle has relative error 5e-8.
  const vf z = 0.5f * kScale - kScale * s;
  vf p = z * (1.0f / 720) + 1.0f / 120;
  p = p * z + 1.0f / 24;
  p = p * z + 1.0f / 6;
  p = p * z + 0.5f;
  p = p * z + 1.0f;
  p = p * z + 1.0f;
  const vf d = p * 0.738403150f;  // exp(-kScale / 2)
  return {d, -kScale * d * s * (1.0f - s)};
}

// slope may be null.
template <class T>
void decay_row(const T* w, std::int64_t N, Wkv7Decay kind, float* d, float* slope = nullptr) {
  const auto each = [&](auto constant_kind) {
    for (std::int64_t c = 0; c < N; c += kLanes) {
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
template <int Stride>
vf low(vf p, vf q) {
  if constexpr (Stride == 8)
    return __builtin_shufflevector(p, q, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  else if constexpr (Stride == 4)
    return __builtin_shufflevector(p, q, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
  else if constexpr (Stride == 2)
    return __builtin_shufflevector(p, q, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
  else
    return __builtin_shufflevector(p, q, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
}
template <int Stride>
vf high(vf p, vf q) {
  if constexpr (Stride == 8)
    return __builtin_shufflevector(p, q, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  else if constexpr (Stride == 4)
    return __builtin_shufflevector(p, q, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  else if constexpr (Stride == 2)
    return __builtin_shufflevector(p, q, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  else
    return __builtin_shufflevector(p, q, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

// Levels 8, 4, 2, 1 of exchange transpose 16 vectors; those of fold leave the sum of vector i in lane i of
// the first.
template <int Stride>
void exchange(vf (&x)[kLanes]) {
  for (int i = 0; i < kLanes; ++i) {
    if (i & Stride) continue;
    const vf p = x[i], q = x[i + Stride];
    x[i] = low<Stride>(p, q);
    x[i + Stride] = high<Stride>(p, q);
  }
}
template <int Stride>
void fold(vf (&x)[kLanes]) {
  for (int i = 0; i < Stride; ++i) {
    x[i] = low<Stride>(x[i], x[i + Stride]) + high<Stride>(x[i], x[i + Stride]);
  }
}

// to[j][i] = from[i][j] for a 16 x 16 tile.
inline void transpose_tile(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  if constexpr (kNative == 16) {
    vf x[kLanes];
    for (int i = 0; i < kLanes; ++i) x[i] = simd::load(from + i * from_stride);
    exchange<8>(x);
    exchange<4>(x);
    exchange<2>(x);
    exchange<1>(x);
    for (int i = 0; i < kLanes; ++i) simd::store(to + i * to_stride, x[i]);
  } else {
    for (int j = 0; j < 16; ++j) {
      for (int i = 0; i < 16; ++i) to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}
// rows and columns are multiples of 16: to (columns, rows) = transpose of from (rows, columns).
inline void transpose(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride,
                      std::int64_t rows, std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; i += kLanes) {
    for (std::int64_t j = 0; j < columns; j += kLanes) {
      transpose_tile(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    }
  }
}

// to[i] = the sum of the native vector at from + i * stride, for 16 vectors.
inline void sum_rows(const float* from, std::int64_t stride, float* to) {
  if constexpr (kNative == 16) {
    vf x[kLanes];
    for (int i = 0; i < 16; ++i) x[i] = simd::load(from + i * stride);
    fold<8>(x);
    fold<4>(x);
    fold<2>(x);
    fold<1>(x);
    simd::store(to, x[0]);
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
