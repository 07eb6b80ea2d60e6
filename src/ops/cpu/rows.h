#pragma once
#include <algorithm>
#include <cstdint>

#include "ops/cpu/simd.h"
#include "rt/autograd/parameter.h"
#include "rt/core/exec.h"
#include "rt/core/parallel.h"

// Shared ground of the elementwise kernels: rows of width C, cut into blocks that never cross a sequence.
// Parameter gradients are sums over all rows. They are formed as: f32 partial sums per block of kRowBlock
// rows, added up in double per sequence in block order, then added to the f32 gradient sequence by sequence.
// So the bits depend neither on the thread count nor on how sequences are grouped into micro-batches.
namespace rt::cpu {

inline constexpr std::int64_t kRowBlock = 32;

// Sequences and rows per sequence of a (B, T, C) or (T, C) view; anything of rank 2 is one sequence.
struct RowPlan {
  std::int64_t B, T, C, blocks;  // blocks per sequence
  explicit RowPlan(const Shape& shape)
      : B(shape.rank() > 2 ? shape[0] : 1), T(1), C(shape.back()), blocks(0) {
    if (B > 0 && C > 0) T = shape.numel() / (B * C);
    blocks = (T + kRowBlock - 1) / kRowBlock;
  }
  std::int64_t rows() const { return B * T; }
};

// f(block index, first row, end row) for every block of every sequence, in parallel.
template <class F>
void for_each_row_block(const RowPlan& plan, const F& f) {
  parallel_for(plan.B * plan.blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / plan.blocks, k = i % plan.blocks;
      f(i, b * plan.T + k * kRowBlock, b * plan.T + std::min(plan.T, (k + 1) * kRowBlock));
    }
  });
}

// Partial sums of one or more parameter gradients of width C each: (B * blocks, count, C) f32 in scratch.
class ColumnSums {
 public:
  ColumnSums(ExecContext& ctx, const RowPlan& plan, std::int64_t count);
  // Zeroed accumulators of a block; valid until reduce.
  float* block(std::int64_t block, std::int64_t which) const {
    return partial_.as<float>() + (block * count_ + which) * plan_.C;
  }
  // Adds sum `which` into the f32 gradient (C). Ordered as described above.
  void reduce(std::int64_t which, const GradSlot& slot) const;

 private:
  RowPlan plan_;
  std::int64_t count_;
  TensorView partial_;
};

// Stores (Overwrite) or adds (Accumulate) a vector into an activation gradient.
template <class T>
inline void put(T* p, simd::vf v, std::int64_t left, bool accumulate) {
  if (accumulate) v += simd::load_tail(p, left);
  simd::store_tail(p, v, left);
}

}  // namespace rt::cpu
