#include "rt/ops/adamw.h"

namespace rt {

const OpTable<AdamwKernels>& adamw_table() {
  static constexpr OpTable<AdamwKernels> table{"adamw", {ref::adamw}, {cpu::adamw}, {cuda::adamw}};
  return table;
}

void adamw(ExecContext& ctx, const AdamwArgs& a) {
  for (const TensorView* view : {&a.m, &a.v, &a.grad}) {
    RT_CHECK(view->numel() == a.master.numel() && view->dtype == a.master.dtype,
             "adamw: master is {} {}, a moment or the gradient {} {}", a.master.shape, name(a.master.dtype),
             view->shape, name(view->dtype));
  }
  RT_CHECK(a.value.numel() == a.master.numel() &&
               (a.value.dtype != a.master.dtype || a.value.data == a.master.data),
           "adamw: value is {} {}; it must be the master's memory or a copy in another dtype", a.value.shape,
           name(a.value.dtype));
  adamw_table().at(ctx.impl).forward(ctx, a);
}

}  // namespace rt
