#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rt/autograd/parameter.h"
#include "rt/core/exec.h"

namespace rt {

// A handle, valid only inside the Tape that made it. Default-constructed: absent (an optional input or
// output).
struct Var {
  static constexpr std::uint32_t kNone = 0xffffffffu;
  std::uint32_t id = kNone;
  explicit operator bool() const { return id != kNone; }
  friend bool operator==(Var, Var) = default;
};
using VarList = std::vector<Var>;

class Tape;

// One recorded op. Holds Vars and plain values, never views: memory moves under activation checkpointing.
class Node {
 public:
  virtual ~Node() = default;
  virtual std::string_view name() const = 0;
  virtual void backward(Tape& tape) = 0;
};

enum class Record : std::uint8_t { No, Yes };

// Records ops in program order and walks them in exact reverse. Values live on ctx.saved, gradients of values
// in ctx.grads, gradients of parameters in Parameter::grad. Not thread-safe; one step, one tape.
class Tape {
 public:
  Tape(ExecContext& ctx, Record record) : Tape(ctx, record, nullptr) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  ~Tape();

  ExecContext& ctx() { return ctx_; }
  bool recording() const { return record_ == Record::Yes; }

  // A value from outside. Its gradient, if `into` asks for one, is written straight to into.view.
  Var input(TensorView value, GradSlot into = {});
  Var param(Parameter& parameter);
  // Allocates an op's output on ctx.saved. It needs a gradient when anything it depends on does. `depends_on`
  // may hold absent Vars. With an empty list: something saved for backward that has no gradient.
  Var output(Shape shape, DType dtype, std::string_view name, std::span<const Var> depends_on);
  Var output(Shape shape, DType dtype, std::string_view name, std::initializer_list<Var> depends_on) {
    return output(shape, dtype, name, std::span(depends_on.begin(), depends_on.size()));
  }
  // An output whose memory is already there (in-place state, a sub-view).
  Var adopt(TensorView value, bool needs_grad);

  TensorView value(Var v) const { return vars_[v.id].value; }  // by value: vars_ grows
  TensorView value_or_empty(Var v) const { return v ? vars_[v.id].value : TensorView(); }
  bool needs_grad(Var v) const { return v && vars_[v.id].needs_grad; }
  bool needs_grad(std::span<const Var> vars) const;
  bool needs_grad(std::initializer_list<Var> vars) const {
    return needs_grad(std::span(vars.begin(), vars.size()));
  }

  // The gradient that reached an output; empty when none did (or v is absent).
  TensorView grad(Var v) const { return v ? vars_[v.id].grad : TensorView(); }
  // Where a backward kernel puts an input's gradient. Whoever asks must write it: Overwrite on first use,
  // then Accumulate; Skip when nobody needs it or v is absent.
  GradSlot grad_slot(Var v);
  // Hands the gradient of `from` over to `to` without copying, when `to` has none yet. False: the caller must
  // add.
  bool move_grad(Var from, Var to);
  void release_grad(Var v);

  // Call after the outputs, and only when needs_grad(inputs).
  void push(std::unique_ptr<Node> node);
  template <class Backward>
  void record(std::string_view name, Backward backward) {
    push(std::make_unique<Lambda<Backward>>(name, std::move(backward)));
  }

  void seed(Var out, TensorView grad);
  void backward();
  // Called once per trainable parameter when its gradient of this backward is complete, in reverse order of
  // first use.
  void on_param_grad(std::function<void(Parameter&)> callback) { on_param_grad_ = std::move(callback); }

  std::size_t node_count() const { return nodes_.size(); }

 private:
  friend VarList checkpoint(Tape&, std::span<const Var>, std::function<VarList(Tape&, std::span<const Var>)>);
  friend class CheckpointNode;

  template <class Backward>
  class Lambda final : public Node {
   public:
    Lambda(std::string_view name, Backward backward) : name_(name), backward_(std::move(backward)) {}
    std::string_view name() const override { return name_; }
    void backward(Tape& tape) override { backward_(tape); }

   private:
    std::string_view name_;
    Backward backward_;
  };
  struct VarInfo {
    TensorView value;
    TensorView grad;
    GradSlot into;                   // inputs only
    Parameter* parameter = nullptr;  // parameters only
    std::uint32_t producer = 0;      // outputs: index of the node pushed next
    bool needs_grad = false;
    bool is_output = false;
    bool pooled = false;   // grad belongs to ctx.grads
    bool reached = false;  // grad_slot has been asked for
  };
  struct NodeEntry {
    std::unique_ptr<Node> node;
    std::uint32_t first_output;  // vars [first_output, end_output) came with this node
    std::uint32_t end_output;
    Arena::Mark mark;  // ctx.saved before its outputs
    std::vector<Parameter*> first_uses;
  };

  Tape(ExecContext& ctx, Record record, Tape* parent) : ctx_(ctx), record_(record), parent_(parent) {}
  void touch(Parameter& parameter);
  Var add(const VarInfo& info);

  ExecContext& ctx_;
  Record record_;
  Tape* parent_;
  std::vector<VarInfo> vars_;
  std::vector<NodeEntry> nodes_;
  std::unordered_map<Parameter*, Var> params_;
  std::unordered_map<Parameter*, std::uint32_t> touched_;
  std::vector<Parameter*> pending_uses_;  // first used since the last push
  bool touched_trainable_ = false;
  std::uint32_t pending_outputs_ = 0;  // first var since the last push
  Arena::Mark pending_mark_{};
  bool has_pending_mark_ = false;
  std::function<void(Parameter&)> on_param_grad_;
};

// Part of a model as a function: the same code runs in forward and again in backward.
using Segment = std::function<VarList(Tape&, std::span<const Var>)>;

// Activation checkpointing: keeps only the segment's outputs and re-runs it in backward, so gradients have
// the same bits as without. On a tape that does not record it frees the segment's temporaries, and costs
// nothing else. `in` may hold absent Vars; everything the segment uses but parameters must be in it.
VarList checkpoint(Tape& tape, std::span<const Var> in, Segment segment);

}  // namespace rt
