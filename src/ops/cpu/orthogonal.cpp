#include "rt/ops/orthogonal.h"

#include <Eigen/Dense>

#include "rt/core/error.h"
#include "rt/core/parallel.h"

namespace rt {
namespace {

using Matrix = Eigen::MatrixXd;
constexpr std::int64_t kTile = 96;

void cholesky_qr(Matrix& a) {
  const std::int64_t n = a.cols();
  Matrix gram(n, n);
  parallel_for(n, kTile, [&](std::int64_t begin, std::int64_t end) {
    gram.middleCols(begin, end - begin).noalias() = a.transpose() * a.middleCols(begin, end - begin);
  });
  const Eigen::LLT<Matrix> llt(gram);
  RT_CHECK(llt.info() == Eigen::Success, "orthogonal: a Gaussian matrix of {} x {} has no full rank",
           a.rows(), n);
  const Matrix inverse = llt.matrixU().solve(Matrix::Identity(n, n));  // R^-1
  Matrix q(a.rows(), n);
  parallel_for(n, kTile, [&](std::int64_t begin, std::int64_t end) {
    // R^-1 is upper triangular: columns [begin, end) reach down to row `end` only.
    q.middleCols(begin, end - begin).noalias() = a.leftCols(end) * inverse.block(0, begin, end, end - begin);
  });
  a = std::move(q);
}

}  // namespace

void orthogonal(std::span<float> out, std::int64_t rows, std::int64_t cols, double gain, const Rng& rng) {
  RT_CHECK(static_cast<std::int64_t>(out.size()) == rows * cols, "orthogonal: {} numbers for {} x {}",
           out.size(), rows, cols);
  const bool wide = rows < cols;
  Matrix a(wide ? cols : rows, wide ? rows : cols);
  parallel_for(a.cols(), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) {
      for (std::int64_t i = 0; i < a.rows(); ++i)
        a(i, j) = rng.normal(static_cast<std::uint64_t>(j * a.rows() + i));
    }
  });
  cholesky_qr(a);
  if (a.rows() < 2 * a.cols())
    cholesky_qr(a);  // a square Gaussian is ill-conditioned enough to need a second pass
  parallel_for(rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        out[static_cast<std::size_t>(i * cols + j)] = static_cast<float>(gain * (wide ? a(j, i) : a(i, j)));
      }
    }
  });
}

}  // namespace rt
