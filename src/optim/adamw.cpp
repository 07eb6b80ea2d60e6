#include "rt/core/error.h"
#include "rt/optim/optimizer.h"

namespace rt {

AdamW::AdamW(ParamStore& store, const AdamWOptions& options, MemoryMode mode)
    : store_(store), options_(options), moments_(options.moments.value_or(store.types().master)) {
  for (Tensor* moments : {&m_, &v_}) {
    if (mode == MemoryMode::Measure) {
      moments->view = untouchable({store.owned_extent()}, moments_, store.device());
    } else {
      *moments = Tensor({store.owned_extent()}, moments_, store.device());
    }
  }
}

void AdamW::step(ExecContext& ctx, const StepScalars* scalars) {
  for (const ParamGroup& group : store_.groups()) {
    const std::int64_t end = group.at + group.master.numel();
    const AdamwArgs args{.master = group.master,
                         .m = m_.view.slice(0, group.at, end),
                         .v = v_.view.slice(0, group.at, end),
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
  return 2 * static_cast<std::size_t>(store_.owned_extent()) * size_of(moments_);
}

std::vector<Optimizer::StateTensor> AdamW::state_tensors() const {
  std::vector<StateTensor> all;
  for (const char* prefix : {"m.", "v."}) {
    for (const Parameter* p : store_.parameters())
      if (p->trainable) all.push_back({prefix + p->name, p, moments_});
  }
  return all;
}

void AdamW::visit_state(const VisitState& visit) {
  for (const auto& [prefix, moments] : {std::pair{"m.", &m_}, std::pair{"v.", &v_}}) {
    for (const ParamPart& part : store_.parts())
      visit(prefix + part.parameter->name, part,
            moments->view.slice(0, part.at, part.at + part.master.numel()));
  }
}

}  // namespace rt
