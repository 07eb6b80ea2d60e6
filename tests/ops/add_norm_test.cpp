#include "rt/ops/add_norm.h"

#include <gtest/gtest.h>

#include "tests/support/op_harness.h"
#include "tests/support/op_suite.h"

namespace {

using namespace rt;
using rt::testing::InputSpec;
using rt::testing::OpCase;
using Call = std::function<VarList(Tape&, const VarList&)>;

OpCase make(std::string name, const Shape& shape, Call run) {
  const std::int64_t C = shape.back();
  return {.name = std::move(name) + shape.to_string(),
          .inputs = {{.name = "a", .shape = shape, .lo = -2, .hi = 3, .time_major = true},
                     {.name = "b", .shape = shape, .time_major = true},
                     {.name = "weight", .shape = {C}, .kind = InputSpec::Kind::Weight, .lo = 0.5, .hi = 1.5},
                     {.name = "bias", .shape = {C}, .kind = InputSpec::Kind::Weight}},
          .run = std::move(run)};
}

VarList both(Tape& t, const VarList& in) {
  const auto [x, y] = add_norm(t, in[0], in[1], in[2], in[3]);
  return {x, y};
}

// The same by the two ops it stands for.
VarList composed(Tape& t, const VarList& in) {
  const Var x = add(t, in[0], in[1]);
  return {x, layer_norm(t, x, in[2], in[3])};
}

// A block of a residual stream: gradients change hands, reach x more than once, and reach a side before it.
template <bool Fused>
VarList stream(Tape& t, const VarList& in) {
  const auto norm = [&](Var a, Var b) {
    const VarList out = Fused ? both(t, {a, b, in[2], in[3]}) : composed(t, {a, b, in[2], in[3]});
    return AddNormResult{out[0], out[1]};
  };
  const AddNormResult first = norm(in[0], in[1]);
  const AddNormResult second = norm(first.x, first.y);
  const AddNormResult twice = norm(second.y, second.y);
  return {add(t, second.x, twice.x), add(t, twice.y, first.y)};
}

std::vector<OpCase> cases() {
  OpCase sum =
      make("sum alone", {2, 5, 24}, [](Tape& t, const VarList& in) { return VarList{both(t, in)[0]}; });
  sum.inputs[2].differentiable = sum.inputs[3].differentiable = false;  // they have no part in it
  return {make("add_norm", {2, 7, 33}, both),
          make("add_norm", {1, 70, 64}, both),
          make("add_norm", {3, 1, 16}, both),
          sum,
          make("norm alone", {2, 5, 24}, [](Tape& t, const VarList& in) { return VarList{both(t, in)[1]}; }),
          make("stream", {2, 3, 40}, stream<true>)};
}

RT_OP_SUITE(AddNorm, cases());

TEST(AddNorm, IsTheTwoOpsToTheBit) {
  for (const Shape& shape : {Shape{2, 67, 33}, Shape{3, 5, 64}}) {
    const std::pair<Call, Call> runs[] = {{both, composed}, {stream<true>, stream<false>}};
    for (const auto& [fused, apart] : runs) {
      const OpCase one = make("fused", shape, fused), two = make("apart", shape, apart);
      for (const DType storage : {DType::F32, DType::BF16}) {
        rt::testing::Options o;
        o.impl = Impl::Cpu;
        o.storage = storage;
        const auto inputs = rt::testing::draw_inputs(one, storage);
        const auto got = rt::testing::run_case(one, inputs, o), want = rt::testing::run_case(two, inputs, o);
        EXPECT_EQ(got.outputs, want.outputs) << shape.to_string();
        EXPECT_EQ(got.gradients, want.gradients) << shape.to_string();
      }
    }
  }
}

TEST(AddNorm, ShapesMustAgree) {
  Workspace ws(Device::cpu(), Impl::Cpu, 1 << 12, 0, 0);
  Tape tape(ws.ctx(), Record::No);
  const Tensor a({2, 4}, DType::F32), b({4, 2}, DType::F32), w({4}, DType::F32), v({2}, DType::F32);
  const Var left = tape.input(a.view), weight = tape.input(w.view);
  EXPECT_THROW(add_norm(tape, left, tape.input(b.view), weight, weight), Error);
  EXPECT_THROW(add_norm(tape, left, left, weight, tape.input(v.view)), Error);
}

}  // namespace
