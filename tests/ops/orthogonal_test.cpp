#include "rt/ops/orthogonal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rt/core/parallel.h"

namespace rt {
namespace {

std::vector<float> draw(std::int64_t rows, std::int64_t cols, std::uint64_t stream, double gain = 1) {
  std::vector<float> q(static_cast<std::size_t>(rows * cols));
  orthogonal(q, rows, cols, gain, Rng{5, stream});
  return q;
}

// The largest element of |Q^T Q - gain^2 I|, or of Q Q^T when there are fewer rows.
double worst(const std::vector<float>& q, std::int64_t rows, std::int64_t cols, double gain) {
  const std::int64_t n = std::min(rows, cols), m = std::max(rows, cols);
  const std::int64_t step = rows < cols ? 1 : cols, next = rows < cols ? cols : 1;
  double most = 0;
  for (std::int64_t a = 0; a < n; ++a) {
    for (std::int64_t b = 0; b <= a; ++b) {
      double dot = a == b ? -gain * gain : 0;
      for (std::int64_t k = 0; k < m; ++k)
        dot += static_cast<double>(q[static_cast<std::size_t>(a * next + k * step)]) *
               static_cast<double>(q[static_cast<std::size_t>(b * next + k * step)]);
      most = std::max(most, std::abs(dot));
    }
  }
  return most;
}

TEST(Orthogonal, IsOrthogonal) {
  const std::int64_t shapes[][2] = {{1, 1},     {5, 5},    {64, 64},  {65, 65}, {300, 300}, {513, 200},
                                    {200, 513}, {700, 64}, {64, 700}, {9, 130}, {130, 129}};
  for (const auto& [rows, cols] : shapes) {
    EXPECT_LE(worst(draw(rows, cols, 1), rows, cols, 1), 1e-6) << rows << " x " << cols;
    EXPECT_LE(worst(draw(rows, cols, 2, 0.1), rows, cols, 0.1), 1e-8) << rows << " x " << cols;
  }
}

// Uniform (Haar) over the orthogonal n x n matrices: moments of single elements, of the trace and of the
// determinant. Without signs that make R's diagonal positive the first element would never be positive.
TEST(Orthogonal, IsUniform) {
  constexpr int kDraws = 20000, n = 3;
  double element[n * n] = {}, square[n * n] = {}, fourth = 0, trace = 0, trace_square = 0, positive = 0;
  for (int i = 0; i < kDraws; ++i) {
    const std::vector<float> q = draw(n, n, static_cast<std::uint64_t>(i));
    for (std::size_t k = 0; k < n * n; ++k) {
      element[k] += static_cast<double>(q[k]) / kDraws;
      square[k] += static_cast<double>(q[k]) * static_cast<double>(q[k]) / kDraws;
    }
    const double t = static_cast<double>(q[0]) + static_cast<double>(q[4]) + static_cast<double>(q[8]);
    const float determinant = q[0] * (q[4] * q[8] - q[5] * q[7]) - q[1] * (q[3] * q[8] - q[5] * q[6]) +
                              q[2] * (q[3] * q[7] - q[4] * q[6]);
    fourth += std::pow(static_cast<double>(q[4]), 4) / kDraws;
    trace += t / kDraws;
    trace_square += t * t / kDraws;
    positive += determinant > 0 ? 1.0 / kDraws : 0;
  }
  for (std::size_t k = 0; k < n * n; ++k) {
    EXPECT_NEAR(element[k], 0, 0.02) << k;
    EXPECT_NEAR(square[k], 1.0 / n, 0.01) << k;
  }
  EXPECT_NEAR(fourth, 3.0 / (n * (n + 2)), 0.01);
  EXPECT_NEAR(trace, 0, 0.03);
  EXPECT_NEAR(trace_square, 1, 0.05);
  EXPECT_NEAR(positive, 0.5, 0.015);
}

TEST(Orthogonal, BitsDoNotDependOnThreads) {
  const int before = num_threads();
  for (const auto& [rows, cols] : {std::pair{200, 330}, std::pair{330, 200}, std::pair{257, 257}}) {
    set_num_threads(1);
    const std::vector<float> alone = draw(rows, cols, 3);
    for (const int threads : {2, 5}) {
      set_num_threads(threads);
      EXPECT_EQ(draw(rows, cols, 3), alone) << threads << " threads";
    }
    EXPECT_NE(draw(rows, cols, 4), alone);
  }
  set_num_threads(before);
}

}  // namespace
}  // namespace rt
