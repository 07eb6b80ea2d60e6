#include "rt/autograd/tape.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "rt/core/error.h"
#include "rt/ops/add.h"
#include "rt/ops/linear.h"
#include "rt/ops/value_residual.h"

namespace rt {
namespace {

constexpr std::int64_t C = 6;

// Residual blocks with one shared early value: x += W_l x blended with the first block's output.
struct Net {
  std::vector<Tensor> masters, grads;
  std::vector<std::unique_ptr<Parameter>> weights;

  explicit Net(int layers) {
    for (int l = 0; l < layers; ++l) {
      masters.emplace_back(Shape{C, C}, DType::F64);
      grads.emplace_back(Shape{C, C}, DType::F64);
      for (std::int64_t i = 0; i < C * C; ++i) {
        set_element(masters.back().view, i,
                    0.5 * Rng{3, static_cast<std::uint64_t>(l)}.normal(static_cast<std::uint64_t>(i)));
      }
      auto p = std::make_unique<Parameter>();
      p->name = "w" + std::to_string(l);
      p->value = p->master = masters.back().view;
      p->grad = grads.back().view;
      weights.push_back(std::move(p));
    }
  }

  Var forward(Tape& tape, Var x, bool checkpointed) {
    Var first;
    for (auto& w : weights) {
      const auto block = [&w](Tape& t, std::span<const Var> in) {
        const Var y = linear(t, in[0], t.param(*w));
        const Var first_out = in[1] ? in[1] : y;
        const Var mixed = in[1] ? value_residual(t, y, in[1], in[0]) : y;
        return VarList{add(t, in[0], mixed), first_out};
      };
      const VarList in{x, first};
      const VarList out = checkpointed ? checkpoint(tape, in, block) : block(tape, in);
      x = out[0];
      first = out[1];
    }
    return x;
  }
};

struct Result {
  std::vector<double> dx;
  std::vector<std::vector<double>> dw;
  std::size_t saved = 0;
};

std::vector<double> numbers(const TensorView& v) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < v.numel(); ++i) out.push_back(element(v, i));
  return out;
}

Result run(Net& net, bool checkpointed, std::size_t saved = 1 << 20) {
  Workspace ws(Device::cpu(), Impl::Ref, saved, 1 << 20, 1 << 20);
  const Tensor x({2, 3, C}, DType::F64), dx({2, 3, C}, DType::F64), seed({2, 3, C}, DType::F64);
  for (std::int64_t i = 0; i < x.view.numel(); ++i) {
    set_element(x.view, i, Rng{5, 0}.normal(static_cast<std::uint64_t>(i)));
    set_element(seed.view, i, Rng{6, 0}.normal(static_cast<std::uint64_t>(i)));
  }
  for (auto& w : net.weights) w->has_grad = false;
  Tape tape(ws.ctx(), Record::Yes);
  const Var out = net.forward(tape, tape.input(x.view, {dx.view, GradMode::Overwrite}), checkpointed);
  tape.seed(out, seed.view);
  tape.backward();
  EXPECT_EQ(ws.grads().live(), 0u);
  Result r{numbers(dx.view), {}, ws.saved().high_water()};
  for (const auto& g : net.grads) r.dw.push_back(numbers(g.view));
  return r;
}

TEST(Checkpoint, SameBitsLessMemory) {
  Net net(6);
  const Result plain = run(net, false), recomputed = run(net, true);
  EXPECT_EQ(plain.dx, recomputed.dx);
  EXPECT_EQ(plain.dw, recomputed.dw);
  EXPECT_LT(recomputed.saved, plain.saved);
}

TEST(Tape, FrozenParametersCostNothing) {
  Net net(4);
  const Result all = run(net, true);
  for (auto& w : net.weights) w->trainable = false;
  net.weights[2]->trainable = true;
  for (auto& g : net.grads) g.buffer.fill(0);
  for (const bool checkpointed : {false, true}) {
    const Result one = run(net, checkpointed);
    EXPECT_EQ(one.dw[2], all.dw[2]);
    EXPECT_EQ(one.dw[1], std::vector<double>(C * C, 0.0));
    EXPECT_EQ(one.dx, all.dx);
  }
}

TEST(Tape, HooksFireOnceInReverseOrderOfFirstUse) {
  for (const bool checkpointed : {false, true}) {
    Net net(3);
    Workspace ws(Device::cpu(), Impl::Ref, 1 << 20, 1 << 20, 1 << 20);
    const Tensor x({1, 2, C}, DType::F64), seed({1, 2, C}, DType::F64);
    Tape tape(ws.ctx(), Record::Yes);
    std::vector<std::string> fired;
    tape.on_param_grad([&](Parameter& p) { fired.push_back(p.name); });
    const Var out = net.forward(tape, tape.input(x.view), checkpointed);
    tape.seed(out, seed.view);
    tape.backward();
    EXPECT_EQ(fired, (std::vector<std::string>{"w2", "w1", "w0"}));
  }
}

TEST(Tape, WithoutRecordingNothingIsKept) {
  Net net(5);
  std::size_t used[2];
  for (const bool checkpointed : {false, true}) {
    Workspace ws(Device::cpu(), Impl::Ref, 1 << 20, 1 << 20, 0);
    const Tensor x({2, 3, C}, DType::F64);
    Tape tape(ws.ctx(), Record::No);
    net.forward(tape, tape.input(x.view), checkpointed);
    EXPECT_EQ(tape.node_count(), 0u);
    used[checkpointed] = ws.saved().used();
  }
  EXPECT_LT(used[1], used[0]);
}

TEST(Tape, RefusesMisuse) {
  Net net(1);
  Workspace ws(Device::cpu(), Impl::Ref, 1 << 20, 1 << 20, 1 << 20);
  const Tensor x({1, 2, C}, DType::F64), wrong({1, 3, C}, DType::F64);
  Tape tape(ws.ctx(), Record::Yes);
  const Var out = net.forward(tape, tape.input(x.view), false);
  EXPECT_THROW(tape.seed(out, wrong.view), Error);
  Tape silent(ws.ctx(), Record::No);
  EXPECT_THROW(silent.record("node", [](Tape&) {}), Error);
}

}  // namespace
}  // namespace rt
