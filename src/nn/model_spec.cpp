#include "rt/nn/model_spec.h"

#include <algorithm>
#include <cmath>

#include "rt/core/error.h"

namespace rt {
namespace {

// max(32, 32 * round(f / 32)), ties to even as in Python.
std::int64_t low_rank(double f) {
  return std::max<std::int64_t>(32, 32 * static_cast<std::int64_t>(std::nearbyint(f / 32)));
}

}  // namespace

ModelSpec ModelSpec::resolve() const {
  ModelSpec s = *this;
  if (s.arch != "rwkv7") fail(Exit::Config, "model.arch: \"{}\" is not known here. Known: rwkv7.", s.arch);
  if (s.layers < 2)
    fail(Exit::Config, "model.layers: {} is too few: RWKV-7's init needs at least 2.", s.layers);
  if (s.head_size < 16 || s.head_size > 256 || s.head_size % 16 != 0) {
    fail(Exit::Config, "model.head_size: {} is not a multiple of 16 from 16 to 256.", s.head_size);
  }
  if (s.width < 1 || s.width % s.head_size != 0) {
    const std::int64_t below = std::max<std::int64_t>(1, s.width / s.head_size) * s.head_size;
    fail(Exit::Config, "model.width: {} is not a multiple of head_size={}. Nearest: {}, {}.", s.width,
         s.head_size, below, below + s.head_size);
  }
  if (s.vocab < 1) fail(Exit::Config, "model.vocab: {} is not a vocabulary size.", s.vocab);
  const double root = std::sqrt(static_cast<double>(s.width));
  if (s.ffn_width == 0) s.ffn_width = 4 * s.width;
  if (s.decay_rank == 0) s.decay_rank = low_rank(2.5 * root);
  if (s.rate_rank == 0) s.rate_rank = low_rank(2.5 * root);
  if (s.value_rank == 0) s.value_rank = low_rank(1.7 * root);
  if (s.gate_rank == 0) s.gate_rank = low_rank(5 * root);
  return s;
}

}  // namespace rt
