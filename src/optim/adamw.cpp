#include "rt/core/error.h"
#include "rt/optim/optimizer.h"

namespace rt {

AdamW::AdamW(ParamStore& store, const AdamWOptions& options, MemoryMode mode)
    : store_(store), options_(options), moments_(options.moments.value_or(store.types().master)) {
  for (Tensor* moments : {&m_, &v_}) {
    if (mode == MemoryMode::Measure) {
      moments->view = untouchable({store.trainable_extent()}, moments_, store.device());
    } else {
      *moments = Tensor({store.trainable_extent()}, moments_, store.device());
    }
  }
}

void AdamW::step(ExecContext& ctx, const StepScalars* scalars) {
  for (const ParamGroup& group : store_.groups()) {
    const std::int64_t end = group.begin + group.master.numel();
    const AdamwArgs args{.master = group.master,
                         .m = m_.view.slice(0, group.begin, end),
                         .v = v_.view.slice(0, group.begin, end),
                         .grad = group.grad,
                         .value = group.value,
                         .scalars = scalars,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .eps = options_.eps,
                         .lr_scale = static_cast<double>(group.lr_scale),
                         .weight_decay = options_.weight_decay * static_cast<double>(group.decay_scale),
                         .begin = group.begin};
    adamw(ctx, args);
  }
}

std::size_t AdamW::state_bytes() const {
  return 2 * static_cast<std::size_t>(store_.trainable_extent()) * size_of(moments_);
}

void AdamW::visit_state(const std::function<void(const std::string&, const TensorView&)>& visit) {
  const auto flat = reinterpret_cast<std::uintptr_t>(store_.flat_grad().data);
  const auto size = static_cast<std::int64_t>(size_of(store_.types().master));
  for (const auto& [prefix, moments] : {std::pair{"m.", &m_}, std::pair{"v.", &v_}}) {
    for (const Parameter* p : store_.parameters()) {
      if (!p->trainable) continue;
      const auto at = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(p->grad.data) - flat) / size;
      visit(prefix + p->name, moments->view.slice(0, at, at + p->grad.numel()).reshape(p->grad.shape));
    }
  }
}

}  // namespace rt
