#include "rt/autograd/tape.h"

#include <algorithm>

#include "rt/core/device_stats.h"
#include "rt/core/error.h"

namespace rt {

Tape::~Tape() {
  for (const VarInfo& info : vars_) {
    if (info.pooled) ctx_.grads.free(info.grad);
  }
}

Var Tape::add(const VarInfo& info) {
  vars_.push_back(info);
  return {static_cast<std::uint32_t>(vars_.size() - 1)};
}

Var Tape::input(TensorView value, GradSlot into) {
  VarInfo info;
  info.value = value;
  info.into = into;
  info.needs_grad = recording() && into;
  return add(info);
}

void Tape::touch(Parameter& parameter) {
  if (parameter.trainable) touched_trainable_ = true;
  if (touched_.emplace(&parameter, static_cast<std::uint32_t>(nodes_.size())).second) {
    pending_uses_.push_back(&parameter);
  }
  if (parent_) parent_->touch(parameter);
}

Var Tape::param(Parameter& parameter) {
  touch(parameter);
  const auto found = params_.find(&parameter);
  if (found != params_.end()) return found->second;
  VarInfo info;
  info.value = parameter.value;
  info.parameter = &parameter;
  info.needs_grad = recording() && parameter.trainable;
  const Var v = add(info);
  params_.emplace(&parameter, v);
  return v;
}

bool Tape::needs_grad(std::span<const Var> vars) const {
  return std::any_of(vars.begin(), vars.end(), [&](Var v) { return needs_grad(v); });
}

Var Tape::output(Shape shape, DType dtype, std::string_view name, std::span<const Var> depends_on) {
  if (!has_pending_mark_) {
    pending_mark_ = ctx_.saved.mark();
    has_pending_mark_ = true;
  }
  VarInfo info;
  info.value = ctx_.saved.alloc(shape, dtype, name);
  info.needs_grad = needs_grad(depends_on);
  info.producer = static_cast<std::uint32_t>(nodes_.size());
  info.is_output = true;
  return add(info);
}

Var Tape::adopt(TensorView value, bool needs) {
  VarInfo info;
  info.value = value;
  info.needs_grad = recording() && needs;
  info.producer = static_cast<std::uint32_t>(nodes_.size());
  info.is_output = true;
  return add(info);
}

GradSlot Tape::grad_slot(Var v) {
  if (!needs_grad(v)) return {};
  VarInfo& info = vars_[v.id];
  const bool first = !info.reached;
  info.reached = true;
  if (info.parameter) {
    const bool fresh = !info.parameter->has_grad;
    info.parameter->has_grad = true;
    return {info.parameter->grad, fresh ? GradMode::Overwrite : GradMode::Accumulate};
  }
  if (!info.is_output) return {info.into.view, first ? info.into.mode : GradMode::Accumulate};
  if (info.grad) return {info.grad, GradMode::Accumulate};
  info.grad = ctx_.grads.alloc(info.value.shape, info.value.dtype, "gradient");
  info.pooled = true;
  return {info.grad, GradMode::Overwrite};
}

bool Tape::move_grad(Var from, Var to) {
  if (!needs_grad(to)) return true;
  VarInfo& source = vars_[from.id];
  VarInfo& target = vars_[to.id];
  if (!source.pooled || !target.is_output || target.grad || target.value.dtype != source.value.dtype)
    return false;
  target.grad = source.grad.reshape(target.value.shape);
  target.pooled = true;
  target.reached = true;
  source.grad = {};
  source.pooled = false;
  return true;
}

void Tape::release_grad(Var v) {
  if (!v) return;
  VarInfo& info = vars_[v.id];
  if (info.pooled) ctx_.grads.free(info.grad);
  info.pooled = false;
  info.grad = {};
}

void Tape::push(std::unique_ptr<Node> node) {
  RT_CHECK(recording(), "tape: a node was pushed on a tape that does not record");
  const auto end = static_cast<std::uint32_t>(vars_.size());
  if (!has_pending_mark_) pending_mark_ = ctx_.saved.mark();
  nodes_.push_back({std::move(node), pending_outputs_, end, pending_mark_, std::move(pending_uses_)});
  pending_uses_ = {};
  pending_outputs_ = end;
  has_pending_mark_ = false;
}

void Tape::seed(Var out, TensorView grad) {
  VarInfo& info = vars_[out.id];
  RT_CHECK(info.value.shape == grad.shape, "tape: seed of {} for a value of {}", grad.shape,
           info.value.shape);
  RT_CHECK(!info.grad, "tape: seeded twice");
  info.grad = grad;
}

void Tape::backward() {
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    NodeEntry& entry = nodes_[i];
    bool reached = false;
    for (std::uint32_t v = entry.first_output; v < entry.end_output; ++v) reached |= bool(vars_[v].grad);
    if (reached) {
      const ProfileRange range(entry.node->name().data());  // names are literals
      entry.node->backward(*this);
    }
    for (std::uint32_t v = entry.first_output; v < entry.end_output; ++v) {
      if (vars_[v].is_output) release_grad({v});
    }
    ctx_.saved.release(entry.mark);
    if (!parent_ && on_param_grad_) {
      for (auto p = entry.first_uses.rbegin(); p != entry.first_uses.rend(); ++p) {
        if ((*p)->trainable && (*p)->has_grad) on_param_grad_(**p);
      }
    }
  }
}

}  // namespace rt
