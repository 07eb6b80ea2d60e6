#include "rt/ops/orthogonal.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <vector>

#include "ops/cpu/gemm.h"
#include "rt/core/error.h"
#include "rt/core/parallel.h"

namespace rt {
namespace {

// Reflections of a block, columns of Q that go through all blocks together: products of such sizes run at
// nearly the full rate of a core, and 2048 columns keep 32 of them busy.
constexpr std::int64_t kBlock = 64, kPanel = 64;

// Standard normal numbers by Box-Muller, two from each 64 bits of `rng`.
void draw_normal(const Rng& rng, std::span<float> out) {
  constexpr int kPairs = 256;
  using Array = Eigen::Array<float, kPairs, 1>;
  Array radius, angle;
  for (std::size_t at = 0; at < out.size(); at += 2 * kPairs) {
    for (Eigen::Index i = 0; i < kPairs; ++i) {
      const std::uint64_t bits = rng.bits(at / 2 + static_cast<std::uint64_t>(i));
      radius[i] = (static_cast<float>(static_cast<std::uint32_t>(bits)) + 1.0f) * 0x1p-32f;
      angle[i] = static_cast<float>(static_cast<std::int32_t>(bits >> 32)) * 0x1p-31f;
    }
    radius = (-2.0f * radius.log()).sqrt();
    angle *= std::numbers::pi_v<float>;
    const Array x = radius * angle.cos(), y = radius * angle.sin();
    for (std::size_t i = 0; i < std::min<std::size_t>(2 * kPairs, out.size() - at); ++i)
      out[at + i] = (i % 2 == 0 ? x : y)[static_cast<Eigen::Index>(i / 2)];
  }
}

// n reflections H_k = I - 2 v_k v_k^T / |v_k|^2 of vectors of m numbers, v_k zero before element k. H_k turns
// the Gaussian x_k it is made of to -sign times |x_k| e_k; sign_ holds what makes that positive.
class Reflections {
 public:
  Reflections(std::int64_t m, std::int64_t n, const Rng& rng)
      : m_(m), n_(n), v_(new float[static_cast<std::size_t>(m * n)]), sign_(static_cast<std::size_t>(n)) {
    parallel_for(n, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) draw(k, rng.child(static_cast<std::uint64_t>(k)));
    });
    inner_.resize(static_cast<std::size_t>(blocks() * kBlock * kBlock));
    parallel_for(blocks(), 1, [&](std::int64_t block, std::int64_t) { join(block); });
  }

  // q (width, m): columns [first, first + width) of H_0 H_1 ... times the signs and the gain, one per row.
  void columns(std::int64_t first, std::int64_t width, float gain, std::vector<float>& q) const {
    q.assign(static_cast<std::size_t>(width * m_), 0.0f);
    for (std::int64_t j = 0; j < width; ++j)
      q[static_cast<std::size_t>(j * m_ + first + j)] = gain * sign_[static_cast<std::size_t>(first + j)];
    std::vector<float> dots(static_cast<std::size_t>(width * kBlock)), steps(dots.size());
    for (std::int64_t block = (first + width - 1) / kBlock; block >= 0; --block) {
      const std::int64_t k = block * kBlock, size = std::min(kBlock, n_ - k);
      const float* v = v_.get() + k * m_ + k;
      float* part = q.data() + k;
      cpu::sgemm(false, true, width, size, m_ - k, 1, part, m_, v, m_, 0, dots.data(), size);
      cpu::sgemm(false, true, width, size, size, 1, dots.data(), size, inner(block), kBlock, 0, steps.data(),
                 size);
      cpu::sgemm(false, false, width, m_ - k, size, -1, steps.data(), size, v, m_, 1, part, m_);
    }
  }

 private:
  std::int64_t blocks() const { return (n_ + kBlock - 1) / kBlock; }
  const float* inner(std::int64_t block) const { return inner_.data() + block * kBlock * kBlock; }

  void draw(std::int64_t k, const Rng& rng) {
    float* row = v_.get() + k * m_;
    std::fill_n(row, k, 0.0f);
    draw_normal(rng, {row + k, static_cast<std::size_t>(m_ - k)});
    Eigen::Map<Eigen::VectorXf> v(row + k, m_ - k);
    const float norm = v.norm(), sign = std::copysign(1.0f, v[0]);
    v[0] += sign * norm;
    v /= std::max(norm, std::numeric_limits<float>::min());
    sign_[static_cast<std::size_t>(k)] = -sign;
  }

  // The block's product is I - V T V^T with V its vectors as columns and T upper triangular, T^-1 = the upper
  // part of V^T V with half the diagonal. In double: what T is wrong by, Q is not orthogonal by.
  void join(std::int64_t block) {
    const std::int64_t k = block * kBlock, size = std::min(kBlock, n_ - k);
    using Map = Eigen::Map<const Eigen::MatrixXf, 0, Eigen::OuterStride<> >;
    const Eigen::MatrixXd v =
        Map(v_.get() + k * m_ + k, m_ - k, size, Eigen::OuterStride<>(m_)).cast<double>();
    Eigen::MatrixXd inverse = v.transpose() * v;
    // A vector of zeros is no reflection.
    inverse.diagonal() = (inverse.diagonal() / 2).cwiseMax(std::numeric_limits<float>::min());
    const Eigen::MatrixXd t =
        inverse.triangularView<Eigen::Upper>().solve(Eigen::MatrixXd::Identity(size, size));
    for (std::int64_t i = 0; i < size; ++i) {
      for (std::int64_t j = 0; j < size; ++j)
        inner_[static_cast<std::size_t>((block * kBlock + i) * kBlock + j)] = static_cast<float>(t(i, j));
    }
  }

  std::int64_t m_, n_;
  std::unique_ptr<float[]> v_;  // (n, m), not set to zero first: it may be hundreds of megabytes
  std::vector<float> sign_;     // (n)
  std::vector<float> inner_;    // (blocks, kBlock, kBlock): T
};

}  // namespace

void orthogonal(std::span<float> out, std::int64_t rows, std::int64_t cols, double gain, const Rng& rng) {
  RT_CHECK(static_cast<std::int64_t>(out.size()) == rows * cols, "orthogonal: {} numbers for {} x {}",
           out.size(), rows, cols);
  const std::int64_t m = std::max(rows, cols), n = std::min(rows, cols);
  const Reflections reflections(m, n, rng);
  const std::int64_t panels = (n + kPanel - 1) / kPanel;
  parallel_for(panels, 1, [&](std::int64_t i, std::int64_t) {
    const std::int64_t first = (panels - 1 - i) * kPanel;  // the last panels take the most work
    const std::int64_t width = std::min(kPanel, n - first);
    std::vector<float> q;
    reflections.columns(first, width, static_cast<float>(gain), q);
    if (rows < cols) {
      std::copy(q.begin(), q.end(), out.begin() + first * m);
      return;
    }
    for (std::int64_t r = 0; r < m; ++r) {
      for (std::int64_t j = 0; j < width; ++j)
        out[static_cast<std::size_t>(r * n + first + j)] = q[static_cast<std::size_t>(j * m + r)];
    }
  });
}

}  // namespace rt
