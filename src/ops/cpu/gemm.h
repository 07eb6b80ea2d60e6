#pragma once
#include <cstdint>
#include <functional>

#include "ops/cpu/rows.h"
#include "rt/autograd/parameter.h"
#include "rt/core/exec.h"

// Matrix products of the CPU kernels. Work is cut into tiles whose sizes depend on the rows per sequence and
// the matrix only, tiles never cross a sequence, and each is one single-threaded SGEMM. So the bits depend
// neither on the thread count nor on how sequences are grouped into micro-batches.
namespace rt::cpu {

// C (M, N) = alpha * op(A) op(B) + beta * C, row-major; lda, ldb, ldc are the row lengths in memory. op
// transposes when ta or tb: A is then (K, M), B is (N, K). C is not read when beta is 0. Runs on the calling
// thread alone.
void sgemm(bool ta, bool tb, std::int64_t M, std::int64_t N, std::int64_t K, float alpha, const float* A,
           std::int64_t lda, const float* B, std::int64_t ldb, float beta, float* C, std::int64_t ldc);

// y (rows, N) = x (rows, K) W^T with W (N, K) when transpose_w, else x W with W (K, N). Each of x, w and y is
// f32 or bf16: bf16 is widened through ctx.scratch and y rounded once. accumulate adds to y. Takes its
// scratch, then returns when ctx.dry_run.
void matmul(ExecContext& ctx, const RowPlan& rows, const TensorView& x, const TensorView& w, bool transpose_w,
            const TensorView& y, bool accumulate);

// A finished tile of a product, still in cache: rows [row, row + rows) and columns [col, col + cols).
struct Tile {
  float* data;
  std::int64_t ld, row, col, rows, cols;
};
// As matmul, and calls `finish` on each tile before it is rounded to y's dtype. Never with accumulate.
void matmul_finish(ExecContext& ctx, const RowPlan& rows, const TensorView& x, const TensorView& w,
                   bool transpose_w, const TensorView& y, const std::function<void(const Tile&)>& finish);

// dw (M, K) f32 = the sum over sequences, in order, of a_b^T b_b with a (rows, M) and b (rows, K), each f32
// or bf16. Obeys dw.mode. Takes its scratch, then returns when ctx.dry_run.
void matmul_weight_grad(ExecContext& ctx, const RowPlan& rows, const TensorView& a, const TensorView& b,
                        const GradSlot& dw);

// The view itself when f32, else an f32 copy in ctx.scratch (filled unless ctx.dry_run).
TensorView widened(ExecContext& ctx, const TensorView& view);

}  // namespace rt::cpu
