#pragma once
#include <functional>

#include "rt/nn/param_store.h"

// The initial values of reference/rwkv.md 1.1 to 1.5, as Init functions.
namespace rt::init {

Init constant(double value);
Init uniform(double bound);  // U(-bound, bound)
// QR of a Gaussian with positive diagonal (the sign-fixed orthogonal init of PyTorch), times gain.
Init orthogonal(double gain);
// orthogonal, with gain * sqrt(rows / cols) when rows > cols.
Init orthogonal_scaled(double gain);
Init per_channel(std::function<double(std::int64_t)> value);  // value(i) for flat index i

}  // namespace rt::init
