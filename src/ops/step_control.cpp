#include "rt/ops/step_control.h"

namespace rt {

// A few hundred numbers: the reference is fast enough for the CPU.
const OpTable<StepControlKernels>& step_control_table() {
  static constexpr OpTable<StepControlKernels> table{
      "step_control", {ref::step_control}, {ref::step_control}, {cuda::step_control}};
  return table;
}

void step_control(ExecContext& ctx, const StepControlArgs& a, const StepControlOuts& o) {
  RT_CHECK(!a.losses || (a.losses.is_contiguous() && a.losses.dtype == accum_dtype(ctx)),
           "step_control: losses are {} {}", a.losses.shape, name(a.losses.dtype));
  step_control_table().at(ctx.impl).forward(ctx, a, o);
}

}  // namespace rt
