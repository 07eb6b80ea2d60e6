#include "rt/autograd/tape.h"

namespace rt {

class CheckpointNode final : public Node {
 public:
  CheckpointNode(VarList in, VarList out, Segment segment)
      : in_(std::move(in)), out_(std::move(out)), segment_(std::move(segment)) {}
  std::string_view name() const override { return "checkpoint"; }

  void backward(Tape& tape) override {
    ExecContext& ctx = tape.ctx();
    const ArenaScope scope(ctx.saved);
    Tape child(ctx, Record::Yes, &tape);
    VarList child_in(in_.size());
    std::vector<GradSlot> slots(in_.size());
    for (std::size_t i = 0; i < in_.size(); ++i) {
      if (!in_[i]) continue;
      slots[i] = tape.grad_slot(in_[i]);
      child_in[i] = child.input(tape.value(in_[i]), slots[i]);
    }
    const VarList child_out = segment_(child, child_in);
    for (std::size_t i = 0; i < out_.size(); ++i) {
      const TensorView grad = out_[i] ? tape.grad(out_[i]) : TensorView();
      if (grad) child.seed(child_out[i], grad);
    }
    child.backward();
    for (std::size_t i = 0; i < in_.size(); ++i) {
      if (slots[i].mode != GradMode::Overwrite || child.vars_[child_in[i].id].reached || ctx.dry_run)
        continue;
      device_api(ctx.device.kind).fill(slots[i].view.data, 0, slots[i].view.nbytes(), ctx.stream.native());
    }
  }

 private:
  VarList in_, out_;  // absent in out_: passed through, the parent's Var took its gradient itself
  Segment segment_;
};

VarList checkpoint(Tape& tape, std::span<const Var> in, Segment segment) {
  ExecContext& ctx = tape.ctx();
  const Arena::Mark mark = ctx.saved.mark();
  VarList out;
  std::vector<std::size_t> moved;  // outputs that live above the mark
  std::vector<TensorView> views;
  bool trainable = false;
  {
    Tape child(ctx, Record::No, &tape);
    VarList child_in(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (in[i]) child_in[i] = child.input(tape.value(in[i]));
    }
    const VarList child_out = segment(child, child_in);
    trainable = child.touched_trainable_;
    for (const Var v : child_out) {
      out.emplace_back();
      if (!v) continue;
      for (std::size_t i = 0; i < in.size(); ++i) {
        if (v == child_in[i]) out.back() = in[i];
      }
      if (out.back()) continue;
      moved.push_back(out.size() - 1);
      views.push_back(child.value(v));
    }
  }
  // State updated in place lies outside the arena and stays where it is.
  const auto inside = [&](const TensorView& v) { return ctx.saved.contains(v, mark); };
  std::vector<TensorView> above;
  for (const TensorView& v : views) {
    if (inside(v)) above.push_back(v);
  }
  std::size_t next = 0;
  const std::vector<bool> is_above = [&] {
    std::vector<bool> flags;
    for (const TensorView& v : views) flags.push_back(inside(v));
    return flags;
  }();
  const std::vector<TensorView> kept = ctx.saved.release_except(mark, above, "checkpoint.out");
  const bool needs = tape.recording() && (trainable || tape.needs_grad(in));
  VarList own(out.size());
  for (std::size_t k = 0; k < moved.size(); ++k) {
    own[moved[k]] = out[moved[k]] = tape.adopt(is_above[k] ? kept[next++] : views[k], needs);
  }
  if (needs) {
    tape.pending_mark_ = mark;
    tape.has_pending_mark_ = true;
    tape.push(
        std::make_unique<CheckpointNode>(VarList(in.begin(), in.end()), std::move(own), std::move(segment)));
  }
  return out;
}

}  // namespace rt
