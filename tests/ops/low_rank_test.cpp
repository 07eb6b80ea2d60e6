#include "rt/ops/low_rank.h"

#include <gtest/gtest.h>

#include "tests/support/op_suite.h"

namespace {

using rt::Activation;
using rt::testing::InputSpec;
using rt::testing::OpCase;
using Kind = InputSpec::Kind;

OpCase make(const rt::Shape& shape, std::int64_t D, std::int64_t C2, bool bias, Activation hidden,
            Activation out) {
  const std::int64_t C = shape.back();
  OpCase c{
      .name = "low_rank" + shape.to_string() + " D " + std::to_string(D) + " C2 " + std::to_string(C2) +
              (bias ? " bias" : "") + " activations " + std::to_string(static_cast<int>(hidden)) +
              std::to_string(static_cast<int>(out)),
      .inputs = {{.name = "x", .shape = shape, .time_major = shape.rank() == 3},
                 {.name = "w1", .shape = {C, D}, .kind = Kind::Weight, .lo = -0.3, .hi = 0.5},
                 {.name = "w2", .shape = {D, C2}, .kind = Kind::Weight, .lo = -0.5, .hi = 0.3}},
      .run = [=](rt::Tape& tape, const rt::VarList& in) {
        return rt::VarList{rt::low_rank(tape, in[0], in[1], in[2], bias ? in[3] : rt::Var{}, hidden, out)};
      }};
  if (bias) c.inputs.push_back({.name = "bias", .shape = {1, 1, C2}, .kind = Kind::Weight});
  return c;
}

std::vector<OpCase> cases() {
  return {make({3, 7, 33}, 5, 33, true, Activation::Tanh, Activation::None),
          make({2, 5, 48}, 32, 48, true, Activation::None, Activation::Sigmoid),
          make({1, 67, 40}, 20, 24, false, Activation::Sigmoid, Activation::None),
          make({3, 1, 16}, 8, 50, false, Activation::None, Activation::Tanh),
          make({9, 24}, 17, 24, true, Activation::None, Activation::None),
          make({2, 130, 20}, 16, 20, true, Activation::Sigmoid, Activation::Sigmoid)};
}

RT_OP_SUITE(LowRank, cases());

TEST(LowRank, RefusesWhatDoesNotFit) {
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Ref, 1 << 20, 1 << 20, 1 << 20);
  const rt::Tensor x({2, 3, 4}, rt::DType::F64), w1({4, 2}, rt::DType::F64), w2({2, 6}, rt::DType::F64);
  rt::Tape tape(ws.ctx(), rt::Record::No);
  const rt::Var in = tape.input(x.view), a = tape.input(w1.view), b = tape.input(w2.view);
  const auto run = [&](rt::Var u, rt::Var v, rt::Var bias) {
    rt::low_rank(tape, in, u, v, bias, Activation::None, Activation::None);
  };
  EXPECT_NO_THROW(run(a, b, {}));
  EXPECT_THROW(run(b, a, {}), rt::Error);
  EXPECT_THROW(run(a, a, {}), rt::Error);
  EXPECT_THROW(run(a, b, a), rt::Error);
}

}  // namespace
