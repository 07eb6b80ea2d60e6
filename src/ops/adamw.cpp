#include "rt/ops/adamw.h"

namespace rt {

const OpTable<AdamwKernels>& adamw_table() {
  static constexpr OpTable<AdamwKernels> table{"adamw", {ref::adamw}, {cpu::adamw}, {cuda::adamw}};
  return table;
}

void adamw(ExecContext& ctx, const AdamwArgs& a) {
  RT_CHECK(a.grad.numel() == a.master.numel() && a.grad.dtype == a.master.dtype,
           "adamw: master is {} {}, its gradient {} {}", a.master.shape, name(a.master.dtype), a.grad.shape,
           name(a.grad.dtype));
  const bool rounded = a.m.dtype == DType::BF16 && a.master.dtype == DType::F32;
  for (const TensorView* view : {&a.m, &a.v}) {
    RT_CHECK(view->numel() == a.master.numel() && view->dtype == a.m.dtype &&
                 (rounded || view->dtype == a.master.dtype),
             "adamw: master is {} {}, a moment {} {}", a.master.shape, name(a.master.dtype), view->shape,
             name(view->dtype));
  }
  RT_CHECK(a.begin >= 0 && a.begin % 4 == 0, "adamw: the range begins at {}, no multiple of 4", a.begin);
  RT_CHECK(a.value.numel() == a.master.numel() &&
               (a.value.dtype != a.master.dtype || a.value.data == a.master.data),
           "adamw: value is {} {}; it must be the master's memory or a copy in another dtype", a.value.shape,
           name(a.value.dtype));
  adamw_table().at(ctx.impl).forward(ctx, a);
}

}  // namespace rt
