// The matrix product under the CUDA kernels, of whichever backend this program is linked with.
#include "cuda/core/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rt/core/host.h"
#include "tests/support/needs_device.h"

namespace rt::cuda {
namespace {

struct Case {
  bool transpose_a, transpose_b;
  DType in, out;
  float beta;
  bool bias;
  std::int64_t batch;
};

// Odd sizes, rows longer than the matrices, sums longer than one block of the host's.
constexpr std::int64_t M = 17, N = 23, K = 300, kPadA = 3, kPadB = 1, kPadC = 5;
constexpr float kAlpha = 1.5f;

Tensor random(std::int64_t rows, std::int64_t cols, DType dtype, std::uint64_t stream) {
  Tensor out({rows, cols}, dtype);
  for (std::int64_t i = 0; i < out.view.numel(); ++i) {
    set_element(out.view, i, Rng{5, stream}.uniform(static_cast<std::uint64_t>(i)) - 0.5);
  }
  return out;
}

struct Operands {
  std::int64_t a_rows, b_rows, lda, ldb, ldc = N + kPadC;
  Tensor a, b, c, bias;  // on the host
  explicit Operands(const Case& t)
      : a_rows(t.transpose_a ? K : M),
        b_rows(t.transpose_b ? N : K),
        lda((t.transpose_a ? M : K) + kPadA),
        ldb((t.transpose_b ? K : N) + kPadB),
        a(random(t.batch * a_rows, lda, t.in, 1)),
        b(random(t.batch * b_rows, ldb, t.in, 2)),
        c(random(t.batch * M, ldc, t.out, 3)),
        bias(random(1, N, t.out, 4)) {}

  double want(const Case& t, std::int64_t batch, std::int64_t i, std::int64_t j) const {
    double sum = 0;
    for (std::int64_t k = 0; k < K; ++k) {
      const std::int64_t at = t.transpose_a ? k * lda + i : i * lda + k;
      const std::int64_t bt = t.transpose_b ? j * ldb + k : k * ldb + j;
      sum += element(a.view, batch * a_rows * lda + at) * element(b.view, batch * b_rows * ldb + bt);
    }
    const double before = t.beta == 0 ? 0 : t.beta * element(c.view, (batch * M + i) * ldc + j);
    return kAlpha * sum + before + (t.bias ? element(bias.view, j) : 0);
  }
};

// C after the product, on the host.
Tensor product(const Case& t, const Operands& o) {
  const Device device = Device::cuda(0);
  const Tensor a = copy_to(device, o.a.view), b = copy_to(device, o.b.view),
               bias = copy_to(device, o.bias.view);
  Tensor start = copy_to(Device::cpu(), o.c.view);
  for (std::int64_t i = 0; t.beta == 0 && i < t.batch * M; ++i) {
    for (std::int64_t j = 0; j < N; ++j) set_element(start.view, i * o.ldc + j, NAN);  // not to be read
  }
  const Tensor c = copy_to(device, start.view);
  GemmArgs g;
  g.M = M, g.N = N, g.K = K;
  g.a = {a.view.data, t.in, o.lda, o.a_rows * o.lda};
  g.b = {b.view.data, t.in, o.ldb, o.b_rows * o.ldb};
  g.c = {c.view.data, t.out, o.ldc, M * o.ldc};
  g.transpose_a = t.transpose_a, g.transpose_b = t.transpose_b;
  g.alpha = kAlpha, g.beta = t.beta, g.batch = t.batch;
  if (t.bias) g.bias = bias.view;
  Workspace plan(device, Impl::Cuda);
  gemm(plan.ctx(), g);
  Workspace live(device, Impl::Cuda, 0, plan.scratch().high_water(), 0);
  gemm(live.ctx(), g);
  live.ctx().stream.synchronize();
  return copy_to(Device::cpu(), c.view);
}

void check_case(const Case& t) {
  SCOPED_TRACE(format("transpose {} {}, {} into {}, beta {}, bias {}, batch {}", t.transpose_a, t.transpose_b,
                      name(t.in), name(t.out), t.beta, t.bias, t.batch));
  const Operands o(t);
  const Tensor got = product(t, o);
  double error = 0, norm = 0;
  for (std::int64_t row = 0; row < t.batch * M; ++row) {
    for (std::int64_t j = 0; j < N; ++j) {
      const double want = o.want(t, row / M, row % M, j), miss = element(got.view, row * o.ldc + j) - want;
      error += miss * miss;
      norm += want * want;
    }
    for (std::int64_t j = N; j < o.ldc; ++j) {
      EXPECT_EQ(element(got.view, row * o.ldc + j), element(o.c.view, row * o.ldc + j))
          << "past the row's end";
    }
  }
  EXPECT_LE(std::sqrt(error / norm), t.out == DType::BF16 ? 3e-3 : 2e-6);
}

TEST(CudaGemm, MatchesDouble) {
  RT_NEEDS_DEVICE();
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const float beta : {0.0f, 1.0f}) {
        for (const bool bias : {false, true}) {
          check_case({ta, tb, DType::F32, DType::F32, beta, bias, 1});
          check_case({ta, tb, DType::BF16, DType::BF16, beta, bias, 1});
          check_case({ta, tb, DType::BF16, DType::F32, beta, bias, 1});
        }
        check_case({ta, tb, DType::F32, DType::F32, beta, false, 3});
        check_case({ta, tb, DType::BF16, DType::F32, beta, false, 3});
      }
    }
  }
}

TEST(CudaGemm, RepeatsToTheBit) {
  RT_NEEDS_DEVICE();
  const Case t{true, false, DType::BF16, DType::F32, 1, false, 1};
  const Operands o(t);
  const Tensor one = product(t, o), two = product(t, o);
  for (std::int64_t i = 0; i < one.view.numel(); ++i) {
    ASSERT_EQ(element(one.view, i), element(two.view, i)) << i;
  }
}

TEST(CudaGemm, RefusesWhatTheLibraryHasNot) {
  RT_NEEDS_DEVICE();
  Workspace ws(Device::cuda(0), Impl::Cuda);  // refused before anything is planned
  const TensorView single = ws.ctx().saved.alloc({4, 4}, DType::F32, "single");
  const TensorView half = ws.ctx().saved.alloc({4, 4}, DType::BF16, "half");
  const TensorView wide = ws.ctx().saved.alloc({4, 5}, DType::F32, "wide");
  EXPECT_THROW(matmul(ws.ctx(), single, half, true, single, false), Error);
  EXPECT_THROW(matmul(ws.ctx(), single, single, true, half, false), Error);
  EXPECT_THROW(matmul(ws.ctx(), wide, single, true, single, false), Error);
  EXPECT_THROW(matmul(ws.ctx(), half, half, true, single, false, half.slice(0, 0, 1)), Error);
  EXPECT_THROW(matmul_weight_grad(ws.ctx(), single, wide, {single, GradMode::Overwrite}), Error);
  EXPECT_NO_THROW(matmul(ws.ctx(), half, half, true, single, false));
  EXPECT_NO_THROW(matmul_weight_grad(ws.ctx(), half, half, {single, GradMode::Accumulate}));
}

}  // namespace
}  // namespace rt::cuda
