#pragma once
#include "rt/core/dtype.h"

namespace rt::testing {

// Relative RMS (||a - b|| / ||b||) against the double reference on the same, already rounded inputs.
struct Tolerance {
  double output, gradient;
};

constexpr Tolerance tolerance(DType storage) {
  switch (storage) {
    case DType::F64: return {1e-12, 1e-11};
    case DType::BF16: return {1e-2, 2e-2};
    default: return {1e-5, 2e-5};
  }
}

}  // namespace rt::testing
