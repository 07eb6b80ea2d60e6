#pragma once
#include <cstdint>

#include "cuda/core/map.cuh"
#include "cuda/core/vec.cuh"
#include "cuda/device.h"
#include "rt/ops/wkv7.h"

// Shared ground of the kernels of wkv7. See rt/ops/wkv7.h for the recurrence and the letters.
namespace rt::cuda::wkv7_impl {

constexpr float kLog2e = 1.44269504088896341f;
constexpr float kClampScale = 0.60653065971263342f;  // exp(-1/2)

// The decay d of a raw w is 2^log2, its derivative d * slope; both finite for every finite w. Below 2^-200 a
// decay is 0 in f32 anyway.
struct Decay {
  float log2, slope;
};
__device__ __forceinline__ Decay decay_of(float w, bool raw) {
  if (raw) {
    const float rate = fminf(expf(w), 200 / kLog2e);
    return {-rate * kLog2e, -rate};
  }
  const float x = expf(-fabsf(w)), p = 1 / (1 + x);
  const float s = w < 0 ? x * p : p;  // sigmoid(w); 1 - s is the other of the two: no cancellation
  return {-(kClampScale * kLog2e) * s, -kClampScale * x * p * p};
}

// Stores a gradient as its GradMode asks; null: skipped.
template <class T>
struct Out {
  T* data = nullptr;
  bool accumulate = false;
  Out() = default;
  explicit Out(const GradSlot& slot)
      : data(slot ? reinterpret_cast<T*>(slot.view.data) : nullptr),
        accumulate(slot.mode == GradMode::Accumulate) {}
  __device__ __forceinline__ void put(std::int64_t at, float x) const {
    if (data) data[at] = from_float<T>(accumulate ? to_float(data[at]) + x : x);
  }
};

// What every kernel reads, by value.
template <class T>
struct Inputs {
  const T *r, *w, *k, *v, *a, *b;
  const float* s0;            // may be null
  const std::uint8_t* reset;  // may be null
  std::int64_t T_, C;
  int N, H;
  bool raw;
  explicit Inputs(const Wkv7Args& x)
      : r(cast(x.r)),
        w(cast(x.w)),
        k(cast(x.k)),
        v(cast(x.v)),
        a(cast(x.a)),
        b(cast(x.b)),
        s0(x.s0 ? x.s0.as<float>() : nullptr),
        reset(x.reset ? x.reset.as<std::uint8_t>() : nullptr),
        T_(x.r.shape[1]),
        C(x.r.shape[2]),
        N(static_cast<int>(x.head_size)),
        H(static_cast<int>(C / x.head_size)),
        raw(x.decay == Wkv7Decay::Raw) {}
  static const T* cast(const TensorView& view) { return reinterpret_cast<const T*>(view.data); }
  // First channel of token 0 of head `head` = b * H + h.
  __device__ __forceinline__ std::int64_t first(int head) const {
    return head / H * T_ * C + static_cast<std::int64_t>(head % H) * N;
  }
  __device__ __forceinline__ bool is_reset(int head, std::int64_t t) const {
    return reset && reset[head / H * T_ + t] != 0;
  }
};

inline int heads_of(const Wkv7Args& a) {
  return static_cast<int>(a.r.shape[0] * (a.r.shape[2] / a.head_size));
}

// Any dtype, head size and length.
void sequential_forward(ExecContext&, const Wkv7Args&, const Wkv7Outs&);
void sequential_backward(ExecContext&, const Wkv7Args&, const Wkv7Outs&, const Wkv7OutGrads&,
                         const Wkv7Grads&);
void sequential_step(ExecContext&, const Wkv7Args&, const Wkv7Outs&);
// bf16, head size 64 and clamped decays; see wkv7_chunk.cuh.
void chunk_forward(ExecContext&, const Wkv7Args&, const Wkv7Outs&);
void chunk_backward(ExecContext&, const Wkv7Args&, const Wkv7Outs&, const Wkv7OutGrads&, const Wkv7Grads&);

}  // namespace rt::cuda::wkv7_impl
