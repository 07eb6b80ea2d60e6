#pragma once
#include "rt/ops/op.h"

namespace rt {

struct NormResult {
  double sum_squares;       // NaN or infinite when an element is
  std::int64_t non_finite;  // how many elements are
};

// Sum of squares of a flat range in double: blocks of kNormBlock elements, added up in order, so the result
// does not depend on the number of threads. Several ranges are added by the caller, in a fixed order.
inline constexpr std::int64_t kNormBlock = std::int64_t{1} << 16;

struct GlobalNormArgs {
  TensorView values;  // contiguous, f32 or f64
};
struct GlobalNormOuts {
  NormResult* result;  // on the device of values
};
struct GlobalNormKernels {
  void (*forward)(ExecContext&, const GlobalNormArgs&, const GlobalNormOuts&) = nullptr;
};
const OpTable<GlobalNormKernels>& global_norm_table();

void global_norm(ExecContext& ctx, const TensorView& values, NormResult* result);

namespace ref {
void global_norm(ExecContext&, const GlobalNormArgs&, const GlobalNormOuts&);
}
namespace cpu {
void global_norm(ExecContext&, const GlobalNormArgs&, const GlobalNormOuts&);
}
namespace cuda {
RT_CUDA void global_norm(ExecContext&, const GlobalNormArgs&, const GlobalNormOuts&);
}

}  // namespace rt
