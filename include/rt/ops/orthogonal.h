#pragma once
#include <cstdint>
#include <span>

#include "rt/core/rng.h"

namespace rt {

// Fills `out` (rows, cols), row-major, with gain times an orthogonal matrix drawn uniformly: the Q of a
// standard Gaussian's QR with positive diagonal R. With rows >= cols the columns are orthonormal, else the
// rows. Computed in double by Cholesky QR: Q = A R^-1 with R^T R = A^T A, repeated when A is close to square.
void orthogonal(std::span<float> out, std::int64_t rows, std::int64_t cols, double gain, const Rng& rng);

}  // namespace rt
