#pragma once
#include <initializer_list>

#include "cuda/ops/piece.cuh"
#include "rt/core/arena.h"

// Gradients of parameters are sums over all rows. As on the CPU they are formed in three steps: f32 sums over
// blocks of rows that never cross a sequence, added up in double per sequence, then added to the f32 gradient
// sequence by sequence. So the bits do not depend on how sequences are grouped into micro-batches.
namespace rt::cuda {

inline constexpr int kMaxColumnSums = 8;

// The rows of a (B, T, C) or (T, C) array in blocks of `size`; anything of rank 2 is one sequence.
struct RowBlocks {
  std::int64_t B, T, C, size, per_sequence;

  RowBlocks(const Shape& shape, std::int64_t block_size)
      : B(shape.rank() > 2 ? shape[0] : 1), T(1), C(shape.back()), size(block_size), per_sequence(0) {
    if (B > 0 && C > 0) T = shape.numel() / (B * C);
    per_sequence = (T + size - 1) / size;
  }
  std::int64_t count() const { return B * per_sequence; }
};

// Rows [first, end) of one block, in one sequence of rows [begin, finish).
struct RowBlock {
  std::int64_t first, end, begin, finish;
  __device__ RowBlock(const RowBlocks& blocks, std::int64_t index) {
    const std::int64_t b = index / blocks.per_sequence, k = index - b * blocks.per_sequence;
    begin = b * blocks.T;
    finish = begin + blocks.T;
    first = begin + k * blocks.size;
    end = first + blocks.size < finish ? first + blocks.size : finish;
  }
};

// out[c] = the sum over strips of sums[strip * tile + c], in order, for c < columns. Called by the whole
// block after its threads have written their sums; they may write again afterwards.
__device__ inline void fold_strips(const float* sums, int strips, int tile, int columns, float* out) {
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < columns; c += static_cast<int>(blockDim.x)) {
    float total = sums[c];
    for (int s = 1; s < strips; ++s) total += sums[s * tile + c];
    out[c] = total;
  }
  __syncthreads();
}

struct ColumnTargets {
  float* grad[kMaxColumnSums];  // (C) each; null when skipped
  unsigned accumulate;          // a bit for each
};

// partial (blocks, count, C). Grid (columns, count), a block has Lanes columns. A group of Lanes threads sums
// up to Piece blocks of one sequence; the first group adds what the groups have found, in order.
template <int Lanes, int Groups, int Piece>
__global__ void __launch_bounds__(Lanes* Groups)
    column_sum_finish_kernel(const float* partial, RowBlocks blocks,
                             const __grid_constant__ ColumnTargets targets) {
  RT_SHARED(double, found, [Groups][Lanes]);
  float* const to = targets.grad[blockIdx.y];
  if (!to) return;  // the whole block
  const int lane = static_cast<int>(threadIdx.x) % Lanes, group = static_cast<int>(threadIdx.x) / Lanes;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * Lanes + lane, row = gridDim.y * blocks.C;
  const std::int64_t pieces = (blocks.per_sequence + Piece - 1) / Piece, tasks = blocks.B * pieces;
  const bool inside = c < blocks.C;
  float total = group == 0 && inside && (targets.accumulate >> blockIdx.y & 1u) != 0 ? to[c] : 0.0f;
  double sequence = 0;
  std::int64_t piece = 0;
  for (std::int64_t first = 0; first < tasks; first += Groups) {
    double sum = 0;
    if (first + group < tasks && inside) {
      const std::int64_t b = (first + group) / pieces, k = (first + group - b * pieces) * Piece;
      const float* p = partial + (b * blocks.per_sequence + k) * row + blockIdx.y * blocks.C + c;
      const int n = static_cast<int>(blocks.per_sequence - k < Piece ? blocks.per_sequence - k : Piece);
      float v[Piece];
#pragma unroll
      for (int i = 0; i < Piece; ++i) v[i] = i < n ? p[i * row] : 0.0f;
#pragma unroll
      for (int i = 0; i < Piece; ++i) sum += static_cast<double>(v[i]);
    }
    found[group][lane] = sum;
    __syncthreads();
    for (int g = 0; group == 0 && g < Groups && first + g < tasks; ++g) {
      sequence += found[g][lane];
      if (++piece < pieces) continue;
      total += static_cast<float>(sequence);
      sequence = 0;
      piece = 0;
    }
    __syncthreads();
  }
  if (group == 0 && inside) to[c] = total;
}

// `count` sums of width C per block of rows, in scratch.
class ColumnSums {
 public:
  ColumnSums(ExecContext& ctx, const RowBlocks& blocks, std::int64_t count)
      : blocks_(blocks),
        count_(count),
        partial_(ctx.scratch.alloc({blocks.count(), count, blocks.C}, DType::F32, "column_sums")) {}

  // Where kernels leave the sums: (blocks, count, C), every element of every sum that is not skipped.
  float* partial() const { return partial_.as<float>(); }

  // Slot n is the gradient (C elements) that sum n belongs to.
  template <class Slots>
  void finish(ExecContext& ctx, const Slots& slots) const {
    // Half a warp's columns: else a vector of 768 has blocks for a fraction of a large device. 32 pieces of
    // 32 blocks are read at once, so that long sequences take few rounds.
    constexpr int kLanes = 16, kGroups = 32, kPiece = 32;
    ColumnTargets targets{};
    bool any = false;
    int n = 0;
    for (const GradSlot& slot : slots) {
      if (n == count_) break;
      const Target<float> to = target<float>(slot);
      targets.grad[n] = to.data;
      targets.accumulate |= to.accumulate ? 1u << n : 0u;
      any = any || slot;
      ++n;
    }
    if (!any) return;
    launch("column_sum_finish_kernel", column_sum_finish_kernel<kLanes, kGroups, kPiece>,
           dim3(static_cast<unsigned>((blocks_.C + kLanes - 1) / kLanes), static_cast<unsigned>(count_)),
           dim3(kLanes * kGroups), 0, stream_of(ctx), partial(), blocks_, targets);
  }

 private:
  RowBlocks blocks_;
  std::int64_t count_;
  TensorView partial_;
};

}  // namespace rt::cuda
