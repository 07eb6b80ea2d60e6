#include "rt/ops/step_control.h"

namespace rt {

// A few hundred numbers: the reference is fast enough for the CPU.
const OpTable<StepControlKernels>& step_control_table() {
  static constexpr OpTable<StepControlKernels> table{"step_control",
                                                     {ref::step_control, ref::keep_step},
                                                     {ref::step_control, ref::keep_step},
                                                     {cuda::step_control, cuda::keep_step}};
  return table;
}

void step_control(ExecContext& ctx, const StepControlArgs& a, const StepControlOuts& o) {
  RT_CHECK(!a.losses || (a.losses.is_contiguous() && a.losses.dtype == accum_dtype(ctx)),
           "step_control: losses are {} {}", a.losses.shape, name(a.losses.dtype));
  RT_CHECK(a.spike.window >= 0 && a.spike.window <= kMostSpikeWindow && (a.spike.window == 0 || o.window),
           "step_control: a window of {} steps", a.spike.window);
  step_control_table().at(ctx.impl).forward(ctx, a, o);
}

void keep_step(ExecContext& ctx, const KeepStepArgs& a) {
  const auto whole = [](const TensorView& v) {
    return v.dtype == DType::U8 && v.is_contiguous() &&
           (v.nbytes() | reinterpret_cast<std::uintptr_t>(v.data)) % 16 == 0;
  };
  RT_CHECK(a.from.shape == a.to.shape && whole(a.from) && whole(a.to), "keep_step: {} to {}", a.from.shape,
           a.to.shape);
  step_control_table().at(ctx.impl).keep(ctx, a);
}

}  // namespace rt
