#include "ops/cpu/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rt/core/rng.h"

namespace {

using rt::DType;
using rt::Tensor;

std::vector<float> random(std::int64_t n, std::uint64_t stream) {
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(rt::Rng{7, stream}.uniform(i) - 0.5);
  return v;
}

TEST(Gemm, SgemmHonoursTransposesScalesAndRowLengths) {
  const std::int64_t M = 19, N = 37, K = 23, pad = 5;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const float beta : {0.0f, 1.0f, -0.5f}) {
        const std::int64_t lda = (ta ? M : K) + pad, ldb = (tb ? K : N) + pad, ldc = N + pad;
        const auto A = random(lda * (ta ? K : M), 1), B = random(ldb * (tb ? N : K), 2);
        auto C = random(ldc * M, 3);
        const auto before = C;
        if (beta == 0) {  // must not be read
          for (std::int64_t i = 0; i < M; ++i) C[static_cast<std::size_t>(i * ldc)] = NAN;
        }
        rt::cpu::sgemm(ta, tb, M, N, K, 2.0f, A.data(), lda, B.data(), ldb, beta, C.data(), ldc);
        for (std::int64_t i = 0; i < M; ++i) {
          for (std::int64_t j = 0; j < ldc; ++j) {
            const auto at = static_cast<std::size_t>(i * ldc + j);
            if (j >= N) {
              ASSERT_EQ(C[at], before[at]) << "wrote past the row";
              continue;
            }
            double want = static_cast<double>(beta) * static_cast<double>(before[at]);
            for (std::int64_t k = 0; k < K; ++k) {
              want += 2.0 * static_cast<double>(A[static_cast<std::size_t>(ta ? k * lda + i : i * lda + k)]) *
                      static_cast<double>(B[static_cast<std::size_t>(tb ? j * ldb + k : k * ldb + j)]);
            }
            ASSERT_NEAR(C[at], want, 1e-5) << ta << tb << " beta " << beta << " at " << i << ", " << j;
          }
        }
      }
    }
  }
}

Tensor tensor(rt::Shape shape, DType dtype, std::uint64_t stream) {
  Tensor t(shape, dtype);
  const auto v = random(shape.numel(), stream);
  for (std::size_t i = 0; i < v.size(); ++i) {
    rt::set_element(t.view, static_cast<std::int64_t>(i), static_cast<double>(v[i]));
  }
  return t;
}

// Every dtype of x, w and y apart, both orientations, overwriting and adding, tails in every dimension, more
// than one panel, and one row per sequence.
TEST(Gemm, MatmulOfEveryDtype) {
  for (const auto& [B, T, N, K] :
       {std::array<std::int64_t, 4>{2, 300, 70, 33}, {3, 1, 45, 40}, {5, 1, 33, 7}}) {
    for (int mask = 0; mask < 32; ++mask) {
      const auto dtype = [&](int bit) { return mask & bit ? DType::BF16 : DType::F32; };
      const bool transpose = (mask & 8) != 0, accumulate = (mask & 16) != 0;
      const Tensor x = tensor({B, T, K}, dtype(1), 1);
      const Tensor w = tensor(transpose ? rt::Shape{N, K} : rt::Shape{K, N}, dtype(2), 2);
      const Tensor y = tensor({B, T, N}, dtype(4), 3), old = tensor({B, T, N}, dtype(4), 3);
      rt::Workspace ws(rt::Device::cpu(), rt::Impl::Cpu, 0, 1 << 20, 0);
      ws.ctx().scratch.guard();
      rt::cpu::matmul(ws.ctx(), rt::cpu::RowPlan(x.view.shape), x.view, w.view, transpose, y.view,
                      accumulate);
      for (std::int64_t i = 0; i<B * T; i += T> 1 ? 37 : 1) {
        for (std::int64_t n = 0; n < N; ++n) {
          double want = accumulate ? rt::element(old.view, i * N + n) : 0;
          for (std::int64_t k = 0; k < K; ++k) {
            want += rt::element(x.view, i * K + k) * rt::element(w.view, transpose ? n * K + k : k * N + n);
          }
          const double tol = mask & 4 ? 0.004 * std::abs(want) + 1e-5 : 1e-5;
          ASSERT_NEAR(rt::element(y.view, i * N + n), want, tol) << "mask " << mask << " T " << T;
        }
      }
    }
  }
}

TEST(Gemm, ShapesThatDoNotFitAreRefused) {
  const Tensor x({2, 3, 8}, DType::F32), w({5, 8}, DType::F32), y({2, 3, 5}, DType::F32);
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Cpu, 0, 1 << 16, 0);
  const rt::cpu::RowPlan rows(x.view.shape);
  EXPECT_THROW(rt::cpu::matmul(ws.ctx(), rows, x.view, w.view, false, y.view, false), rt::Error);
  EXPECT_THROW(rt::cpu::matmul_weight_grad(ws.ctx(), rows, y.view, x.view, {x.view, rt::GradMode::Overwrite}),
               rt::Error);
}

}  // namespace
