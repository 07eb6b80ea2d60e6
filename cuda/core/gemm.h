#pragma once
#include <cstdint>

#include "rt/autograd/parameter.h"
#include "rt/core/error.h"
#include "rt/core/exec.h"

// Matrix products of the CUDA kernels, through cuBLASLt (cublas.cpp). Sums are in f32; f32 inputs are
// multiplied as f32, never as TF32. The bits are the same in every run on the same kind of device with the
// same library. They do depend on the number of rows, which decides the tiles: grouping sequences into
// micro-batches differently may move the last bits of outputs and weight gradients, unlike on the CPU.
namespace rt::cuda {

// Row-major: element (i, j) is data[i * ld + j]; a further matrix of a batch begins batch_stride later. In
// elements.
struct Matrix {
  std::byte* data = nullptr;
  DType dtype = DType::F32;  // or BF16
  std::int64_t ld = 0;
  std::int64_t batch_stride = 0;
};

// C (M, N) = alpha * op(A) op(B) + beta * C + bias, for each of `batch` products. op(A) is (M, K) and op(B)
// (K, N): a transposed operand is stored (K, M) or (N, K). A and B have one dtype, C the same or F32. C is
// not read when beta is 0. The bias (N elements of C's dtype; may be empty) is added to every row before
// rounding. It is the only epilogue: relu^2 is none of cuBLASLt's, and relu alone saves no pass over the
// result.
struct GemmArgs {
  std::int64_t M = 0, N = 0, K = 0;
  Matrix a, b, c;
  bool transpose_a = false, transpose_b = false;
  float alpha = 1, beta = 0;
  TensorView bias;
  std::int64_t batch = 1;
};

// Launches on ctx.stream. Takes its workspace from ctx.scratch, then returns when ctx.dry_run.
void gemm(ExecContext& ctx, const GemmArgs& args);

// What cuBLASLt would refuse, or read out of bounds; for both implementations of gemm.
inline void check_gemm(const GemmArgs& g) {
  RT_CHECK(g.M > 0 && g.N > 0 && g.K > 0 && g.batch > 0, "gemm: empty product ({}, {}, {}) x {}", g.M, g.N,
           g.K, g.batch);
  RT_CHECK(g.a.dtype == g.b.dtype && (g.a.dtype == DType::F32 || g.a.dtype == DType::BF16) &&
               (g.c.dtype == g.a.dtype || g.c.dtype == DType::F32),
           "gemm: no product of {} and {} into {}", name(g.a.dtype), name(g.b.dtype), name(g.c.dtype));
  RT_CHECK(g.a.ld >= (g.transpose_a ? g.M : g.K) && g.b.ld >= (g.transpose_b ? g.K : g.N) && g.c.ld >= g.N,
           "gemm: rows of {}, {} and {} elements hold no product ({}, {}, {})", g.a.ld, g.b.ld, g.c.ld, g.M,
           g.N, g.K);
  RT_CHECK(!g.bias || (g.bias.numel() == g.N && g.bias.dtype == g.c.dtype && g.batch == 1),
           "gemm: a bias of {} {} for rows of {} {}", g.bias.numel(), name(g.bias.dtype), g.N,
           name(g.c.dtype));
}

// All rows of a contiguous view as one matrix.
inline Matrix rows_of(const TensorView& view) { return {view.data, view.dtype, view.shape.back()}; }

// y (rows, N) = x (rows, K) W^T with W (N, K) when transpose_w, else x W with W (K, N); plus the bias.
// accumulate adds to y.
inline void matmul(ExecContext& ctx, const TensorView& x, const TensorView& w, bool transpose_w,
                   const TensorView& y, bool accumulate, const TensorView& bias = {}) {
  GemmArgs g;
  g.K = x.shape.back();
  g.M = x.numel() / g.K;
  g.N = y.shape.back();
  RT_CHECK(w.shape.rank() == 2 && w.shape[transpose_w ? 1 : 0] == g.K &&
               w.shape[transpose_w ? 0 : 1] == g.N && y.numel() == g.M * g.N,
           "matmul: x is {}, w {}{}, y {}", x.shape, w.shape, transpose_w ? " transposed" : "", y.shape);
  g.a = rows_of(x);
  g.b = rows_of(w);
  g.c = rows_of(y);
  g.transpose_b = transpose_w;
  g.beta = accumulate ? 1.0f : 0.0f;
  g.bias = bias;
  gemm(ctx, g);
}

// dw (M, N) f32 = a^T b with a (rows, M) and b (rows, N), in one product over all rows. Obeys dw.mode.
inline void matmul_weight_grad(ExecContext& ctx, const TensorView& a, const TensorView& b,
                               const GradSlot& dw) {
  if (!dw) return;
  GemmArgs g;
  g.M = a.shape.back();
  g.N = b.shape.back();
  g.K = a.numel() / g.M;
  RT_CHECK(dw.view.shape == (Shape{g.M, g.N}) && b.numel() == g.K * g.N && dw.view.dtype == DType::F32,
           "matmul_weight_grad: a is {}, b {}, dw {} {}", a.shape, b.shape, dw.view.shape,
           name(dw.view.dtype));
  g.a = rows_of(a);
  g.b = rows_of(b);
  g.c = rows_of(dw.view);
  g.transpose_a = true;
  g.beta = dw.mode == GradMode::Accumulate ? 1.0f : 0.0f;
  gemm(ctx, g);
}

}  // namespace rt::cuda
