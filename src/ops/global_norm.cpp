#include "rt/ops/global_norm.h"

namespace rt {

const OpTable<GlobalNormKernels>& global_norm_table() {
  static constexpr OpTable<GlobalNormKernels> table{
      "global_norm", {ref::global_norm}, {cpu::global_norm}, {cuda::global_norm}};
  return table;
}

void global_norm(ExecContext& ctx, const TensorView& values, NormResult* result, int slices) {
  RT_CHECK(values.is_contiguous(), "global_norm: values of {} are not contiguous", values.shape);
  RT_CHECK(slices >= 1 && slices <= kMostNormSlices && values.numel() % slices == 0,
           "global_norm: {} values in {} slices", values.numel(), slices);
  global_norm_table().at(ctx.impl).forward(ctx, {values, slices}, {result});
}

}  // namespace rt
