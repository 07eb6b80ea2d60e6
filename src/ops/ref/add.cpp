#include "rt/ops/add.h"

#include "ops/ref/accumulate.h"

namespace rt::ref {

void add_forward(ExecContext& ctx, const AddArgs& a, const AddOuts& o) {
  if (ctx.dry_run) return;
  for (std::int64_t i = 0; i < o.y.numel(); ++i) {
    o.y.as<double>()[i] = a.a.as<double>()[i] + a.b.as<double>()[i];
  }
}

void add_backward(ExecContext& ctx, const AddArgs&, const AddOuts& o, const AddOutGrads& dout,
                  const AddGrads& g) {
  if (ctx.dry_run) return;
  for (const GradSlot* slot : {&g.a, &g.b}) {
    const GradRef d(*slot);
    for (std::int64_t i = 0; i < o.y.numel(); ++i) d.add(i, dout.y.as<double>()[i]);
  }
}

}  // namespace rt::ref
