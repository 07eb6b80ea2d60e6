#pragma once
#include "rt/core/host_device.h"
#include "rt/ops/op.h"

namespace rt {

struct NormResult {
  double sum_squares;       // NaN or infinite when an element is
  std::int64_t non_finite;  // how many elements are
};

// Sum of squares of a flat range in double. The range is cut into `slices` of equal length, which are added
// as a binary tree, (0 + 1) + (2 + 3), ...: half of a range in half as many slices gives exactly what the
// whole one has there, so that several processes, each with its part, come to the bits of one. A slice is
// blocks of kNormBlock elements, added up in an order that does not depend on the number of threads.
inline constexpr std::int64_t kNormBlock = std::int64_t{1} << 16;
inline constexpr int kMostNormSlices = 128;

struct GlobalNormArgs {
  TensorView values;  // contiguous, f32 or f64
  int slices = 1;     // divides their number; at most kMostNormSlices
};
struct GlobalNormOuts {
  NormResult* result;  // on the device of values
};
struct GlobalNormKernels {
  void (*forward)(ExecContext&, const GlobalNormArgs&, const GlobalNormOuts&) = nullptr;
};
const OpTable<GlobalNormKernels>& global_norm_table();

void global_norm(ExecContext& ctx, const TensorView& values, NormResult* result, int slices = 1);

// Adds what comes one after the other as that tree would.
class NormTree {
 public:
  RT_HOST_DEVICE void push(NormResult x) {
    int level = 0;
    for (std::int64_t n = count_++; n % 2 == 1; n /= 2) x = sum(pending_[level++], x);
    pending_[level] = x;
  }
  RT_HOST_DEVICE NormResult total() const {
    NormResult all{0, 0};
    bool any = false;
    int level = 0;
    for (std::int64_t n = count_; n > 0; n /= 2, ++level) {
      if (n % 2 == 0) continue;
      all = any ? sum(pending_[level], all) : pending_[level];
      any = true;
    }
    return all;
  }

 private:
  RT_HOST_DEVICE static NormResult sum(const NormResult& a, const NormResult& b) {
    return {a.sum_squares + b.sum_squares, a.non_finite + b.non_finite};
  }
  NormResult pending_[24];  // of 2^level leaves
  std::int64_t count_ = 0;
};

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
