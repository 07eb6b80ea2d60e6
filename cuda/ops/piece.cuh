#pragma once
#include <type_traits>

#include "cuda/core/map.cuh"
#include "rt/autograd/parameter.h"

// Pieces of a row: what one thread holds of it at a time.
namespace rt::cuda {

// N neighbouring elements as they lie in memory, so that many loads can be under way before the first is
// used. Aligned: they begin at a multiple of 16 bytes, or of all N where those are fewer bytes, and are all
// there or none of them. Else any of them may lie past the end of the row.
template <class T, int N, bool Aligned>
struct Piece {
  using Access = std::conditional_t<N * sizeof(T) % 16 == 0, uint4, uint2>;
  static_assert(N * sizeof(T) % sizeof(Access) == 0, "a piece is whole vectors");
  static constexpr int kCount = static_cast<int>(N * sizeof(T) / sizeof(Access));
  Access raw[kCount];

  // left: how many elements of the row there are from p on, maybe none or less. What is not there is zero.
  __device__ __forceinline__ void load(const T* p, std::int64_t left) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) raw[i] = Access{};
    if (left > 0) {
      assume_vector_access(p, sizeof(Access));
#pragma unroll
      for (int i = 0; i < kCount; ++i) raw[i] = reinterpret_cast<const Access*>(p)[i];
    }
  }
  __device__ __forceinline__ void get(float (&v)[N]) const { widen<T>(raw, v); }
};

template <class T, int N>
struct Piece<T, N, false> {
  float raw[N];
  __device__ __forceinline__ void load(const T* p, std::int64_t left) {
    load_tail(p, static_cast<int>(left < N ? left : N), raw);
  }
  __device__ __forceinline__ void get(float (&v)[N]) const { memcpy(v, raw, sizeof(v)); }
};

// Writes what there is of a piece, rounded to nearest even.
template <bool Aligned, class T, int N>
__device__ __forceinline__ void store_piece(T* p, std::int64_t left, const float (&v)[N]) {
  if constexpr (Aligned) {
    if (left > 0) store_vec(p, v);
  } else {
    store_tail(p, static_cast<int>(left < N ? left : N), v);
  }
}

// The gradient of an activation; T is its storage type. Skipped when null.
template <class T>
struct Target {
  T* data = nullptr;
  bool accumulate = false;

  // Sets or adds to the piece at p = data + offset.
  template <bool Aligned, int N>
  __device__ __forceinline__ void put(std::int64_t offset, std::int64_t left, float (&v)[N]) const {
    if (!data) return;
    if (accumulate) {
      Piece<T, N, Aligned> old;
      float before[N];
      old.load(data + offset, left);
      old.get(before);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += before[i];
    }
    store_piece<Aligned>(data + offset, left, v);
  }
};

// The device type of a view's elements is T: float or __nv_bfloat16. Null for an empty view.
template <class T>
T* device_ptr(const TensorView& view) {
  constexpr DType kType = std::is_same_v<std::remove_const_t<T>, float> ? DType::F32 : DType::BF16;
  RT_CHECK(!view || view.dtype == kType, "a CUDA kernel for {} was given {} {}", name(kType),
           name(view.dtype), view.shape);
  return reinterpret_cast<T*>(view.data);
}

template <class T>
Target<T> target(const GradSlot& slot) {
  if (!slot) return {};
  return {device_ptr<T>(slot.view), slot.mode == GradMode::Accumulate};
}

// Whether all views that are there begin at multiples of 16 bytes.
inline bool all_aligned(std::initializer_list<const TensorView*> views) {
  std::uintptr_t address = 0;
  for (const TensorView* view : views) address |= reinterpret_cast<std::uintptr_t>(view->data);
  return address % 16 == 0;
}

// Calls g(T*{}, std::bool_constant<aligned>{}) with the device type of a storage dtype.
template <class G>
void dispatch_rows(DType dtype, bool aligned, const G& g) {
  dispatch_storage(
      dtype, [&]<class T>(T* type) { aligned ? g(type, std::true_type{}) : g(type, std::false_type{}); });
}

// Blocks for n pieces of work at `each` per block; a kernel that strides over its grid takes the rest.
inline dim3 capped_grid(std::int64_t n, std::int64_t each) {
  constexpr std::int64_t kMaxBlocks = 1 << 16;
  return dim3(static_cast<unsigned>(std::clamp<std::int64_t>((n + each - 1) / each, 1, kMaxBlocks)));
}

}  // namespace rt::cuda
