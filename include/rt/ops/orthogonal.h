#pragma once
#include <cstdint>
#include <span>

#include "rt/core/rng.h"

namespace rt {

// Fills `out` (rows, cols), row-major, with gain times an orthogonal matrix drawn uniformly: the Q of a
// standard Gaussian's QR with positive diagonal R. With rows >= cols the columns are orthonormal, else the
// rows. The Gaussian is not factored: what is left of it below a Householder reflection is a Gaussian again,
// so Q is a product of reflections made from vectors of falling length (Stewart 1980, SIAM J. Numer. Anal.
// 17), applied in blocks in f32. |Q^T Q - I| is below 1e-6 for 2048 columns. The bits do not depend on the
// number of threads.
void orthogonal(std::span<float> out, std::int64_t rows, std::int64_t cols, double gain, const Rng& rng);

}  // namespace rt
