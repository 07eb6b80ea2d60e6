#include <algorithm>

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
      clear(slots[i].view, ctx.stream);
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
  std::vector<std::size_t> made,
      kept_index;  // outputs the segment made; those of them that live above the mark
  std::vector<TensorView> made_views, kept_views;
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
      const auto passed = std::find(child_in.begin(), child_in.end(), v);
      out.push_back(v && passed != child_in.end() ? in[static_cast<std::size_t>(passed - child_in.begin())]
                                                  : Var{});
      if (!v || out.back()) continue;
      const TensorView view = child.value(v);
      if (ctx.saved.contains(view, mark)) {  // else state updated in place, which stays where it is
        kept_index.push_back(made.size());
        kept_views.push_back(view);
      }
      made.push_back(out.size() - 1);
      made_views.push_back(view);
    }
  }
  const std::vector<TensorView> kept =
      ctx.saved.release_except(mark, kept_views, "checkpoint.out", ctx.stream);
  for (std::size_t k = 0; k < kept.size(); ++k) made_views[kept_index[k]] = kept[k];

  const bool needs = tape.recording() && (trainable || tape.needs_grad(in));
  VarList own(out.size());
  for (std::size_t k = 0; k < made.size(); ++k)
    own[made[k]] = out[made[k]] = tape.adopt(made_views[k], needs);
  if (needs) {
    tape.pending_mark_ = mark;
    tape.has_pending_mark_ = true;
    tape.push(
        std::make_unique<CheckpointNode>(VarList(in.begin(), in.end()), std::move(own), std::move(segment)));
  }
  return out;
}

}  // namespace rt
