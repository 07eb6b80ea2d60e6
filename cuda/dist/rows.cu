#include "rt/dist/rows.h"

#include "cuda/ops/piece.cuh"

namespace rt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kGroup = 8;    // rows whose numbers are loaded before the first two are merged
constexpr int kLevels = 10;  // of the tree above groups
static_assert(kGroup * ((1 << kLevels) - 1) >= dist::kMaxRows);

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;  // as std::max, also for NaN
  }
};

template <class T>
__device__ __forceinline__ T widened(T x) {
  return x;
}
__device__ __forceinline__ float widened(__nv_bfloat16 x) { return to_float(x); }

// The first min(rows, kGroup) rows of the column that begins at p.
template <class T, class Part, class Op>
__device__ __forceinline__ T merge_group(const Part* p, std::int64_t stride, int rows, Op op) {
  T v[kGroup];
#pragma unroll
  for (int r = 0; r < kGroup; ++r) v[r] = r < rows ? static_cast<T>(widened(p[r * stride])) : T{};
#pragma unroll
  for (int half = 1; half < kGroup; half *= 2) {
#pragma unroll
    for (int r = 0; r + half < kGroup; r += 2 * half) {
      if (r + half < rows) v[r] = op(v[r], v[r + half]);
    }
  }
  return v[0];
}

// A thread per column. Groups are merged as a binary counter counts: level[l] is 2^l of them, where bit l of
// `full` is set.
template <class T, class Part, class Op>
__global__ void __launch_bounds__(kThreads)
    reduce_rows_tree_kernel(const Part* parts, std::int64_t stride, int rows, T* out, std::int64_t n, Op op) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    T level[kLevels];
    unsigned full = 0;
    for (int r = 0; r < rows; r += kGroup) {
      T v = merge_group<T>(parts + r * stride + i, stride, rows - r, op);
      bool placed = false;
#pragma unroll
      for (int l = 0; l < kLevels; ++l) {
        if (placed) continue;
        if ((full >> l & 1u) == 0) {
          level[l] = v;
          placed = true;
        } else {
          v = op(level[l], v);
        }
        full ^= 1u << l;
      }
    }
    T all{};
    bool begun = false;
#pragma unroll
    for (int l = 0; l < kLevels; ++l) {
      if ((full >> l & 1u) == 0) continue;
      all = begun ? op(level[l], all) : level[l];
      begun = true;
    }
    out[i] = all;
  }
}

// gridDim.y rows.
template <class To, class From>
__global__ void __launch_bounds__(kThreads)
    convert_rows_kernel(const From* from, std::int64_t from_stride, To* to, std::int64_t to_stride,
                        std::int64_t n) {
  from += blockIdx.y * from_stride;
  to += blockIdx.y * to_stride;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step)
    to[i] = from_float<To>(to_float(from[i]));
}

template <class To, class From>
void launch_convert(const TensorView& from, const TensorView& to, void* stream) {
  const dim3 grid(capped_grid(from.shape[1], kThreads).x, static_cast<unsigned>(from.shape[0]));
  launch("convert_rows_kernel", convert_rows_kernel<To, From>, grid, dim3(kThreads), 0,
         static_cast<cudaStream_t>(stream), reinterpret_cast<const From*>(from.data), from.strides[0],
         reinterpret_cast<To*>(to.data), to.strides[0], from.shape[1]);
}

template <class T, class Part>
void launch_reduce(const TensorView& parts, const TensorView& out, dist::ReduceOp op, void* stream) {
  const auto with = [&]<class Op>(Op merge) {
    launch("reduce_rows_tree_kernel", reduce_rows_tree_kernel<T, Part, Op>,
           capped_grid(parts.shape[1], kThreads), dim3(kThreads), 0, static_cast<cudaStream_t>(stream),
           reinterpret_cast<const Part*>(parts.data), parts.strides[0], static_cast<int>(parts.shape[0]),
           out.as<T>(), parts.shape[1], merge);
  };
  op == dist::ReduceOp::Sum ? with(Sum{}) : with(Max{});
}

}  // namespace

void convert_rows(const TensorView& from, const TensorView& to, void* stream) {
  if (from.dtype == DType::F32) return launch_convert<__nv_bfloat16, float>(from, to, stream);
  launch_convert<float, __nv_bfloat16>(from, to, stream);
}

void reduce_rows(const TensorView& parts, const TensorView& out, dist::ReduceOp op, void* stream) {
  if (parts.dtype == DType::F64) return launch_reduce<double, double>(parts, out, op, stream);
  if (parts.dtype == DType::BF16) return launch_reduce<float, __nv_bfloat16>(parts, out, op, stream);
  launch_reduce<float, float>(parts, out, op, stream);
}

}  // namespace rt::cuda
