#include "rt/ops/global_norm.h"

#include "cuda/core/reduce.cuh"
#include "cuda/ops/piece.cuh"

namespace rt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSliceThreads = 8;  // add up the blocks of a slice, however many slices there are
constexpr int kTotalThreads = kMostNormSlices * kSliceThreads;

// What is not there is zero.
template <bool Aligned>
__device__ __forceinline__ void load_values(const float* p, std::int64_t left, float (&v)[4]) {
  Piece<float, 4, Aligned> in;
  in.load(p, left);
  in.get(v);
}
template <bool Aligned>
__device__ __forceinline__ void load_values(const double* p, std::int64_t left, double (&v)[4]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) v[j] = j < left ? p[j] : 0.0;
}

// Ends with the sums in thread 0.
template <int Threads>
__device__ __forceinline__ NormResult block_total(double squares, std::int64_t non_finite) {
  const double sum = block_sum<Threads>(squares);
  const auto count = block_sum<Threads>(static_cast<long long>(non_finite));
  return {sum, count};
}

// blocks[i] = the sums over a slice's values [i % count * kNormBlock, ...), `count` blocks of each slice.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kThreads)
    global_norm_block_kernel(const T* values, std::int64_t length, std::int64_t count, std::int64_t all,
                             NormResult* blocks) {
  for (std::int64_t block = blockIdx.x; block < all; block += gridDim.x) {
    const std::int64_t slice = block / count * length, begin = slice + block % count * kNormBlock;
    const std::int64_t end = begin + kNormBlock < slice + length ? begin + kNormBlock : slice + length;
    double squares = 0;
    int non_finite = 0;
#pragma unroll 4
    for (std::int64_t i = begin + threadIdx.x * 4; i < end; i += kThreads * 4) {
      T v[4];
      load_values<Aligned>(values + i, end - i, v);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        squares += static_cast<double>(v[j]) * static_cast<double>(v[j]);
        if (v[j] - v[j] != 0) ++non_finite;  // NaN then
      }
    }
    const NormResult total = block_total<kThreads>(squares, non_finite);
    if (threadIdx.x == 0) blocks[block] = total;
  }
}

// One block, kSliceThreads threads a slice, whose tree goes on over the slices.
__global__ void __launch_bounds__(kTotalThreads)
    global_norm_total_kernel(const NormResult* blocks, std::int64_t count, NormResult* result) {
  RT_SHARED(NormResult, parts, [kTotalThreads]);
  const NormResult* mine = blocks + threadIdx.x / kSliceThreads * count;
  NormResult sum{0, 0};
  for (std::int64_t i = threadIdx.x % kSliceThreads; i < count; i += kSliceThreads) {
    sum.sum_squares += mine[i].sum_squares;
    sum.non_finite += mine[i].non_finite;
  }
  parts[threadIdx.x] = sum;
  for (unsigned stride = 1; stride < blockDim.x; stride *= 2) {
    __syncthreads();
    if (threadIdx.x % (2 * stride) == 0 && threadIdx.x + stride < blockDim.x) {
      parts[threadIdx.x].sum_squares += parts[threadIdx.x + stride].sum_squares;
      parts[threadIdx.x].non_finite += parts[threadIdx.x + stride].non_finite;
    }
  }
  if (threadIdx.x == 0) *result = parts[0];
}

template <class T>
void sum_blocks(ExecContext& ctx, const TensorView& values, std::int64_t slices, std::int64_t count,
                NormResult* blocks) {
  const std::int64_t length = values.numel() / slices;
  const auto kernel = length % 4 == 0 && all_aligned({&values}) ? global_norm_block_kernel<T, true>
                                                                : global_norm_block_kernel<T, false>;
  launch("global_norm_block_kernel", kernel, capped_grid(slices * count, 1), dim3(kThreads), 0,
         stream_of(ctx), values.as<T>(), length, count, slices * count, blocks);
}

}  // namespace

void global_norm(ExecContext& ctx, const GlobalNormArgs& a, const GlobalNormOuts& o) {
  const ArenaScope scope(ctx.scratch);
  const std::int64_t count = (a.values.numel() / a.slices + kNormBlock - 1) / kNormBlock;
  const auto bytes = static_cast<std::int64_t>(sizeof(NormResult));
  const TensorView partial = ctx.scratch.alloc({a.slices, count, bytes}, DType::U8, "global_norm.blocks");
  if (ctx.dry_run) return;
  auto* blocks = reinterpret_cast<NormResult*>(partial.data);
  if (count > 0) {
    a.values.dtype == DType::F64 ? sum_blocks<double>(ctx, a.values, a.slices, count, blocks)
                                 : sum_blocks<float>(ctx, a.values, a.slices, count, blocks);
  }
  RT_LAUNCH(global_norm_total_kernel, dim3(1), dim3(static_cast<unsigned>(a.slices * kSliceThreads)), 0,
            stream_of(ctx), blocks, count, o.result);
}

}  // namespace rt::cuda
