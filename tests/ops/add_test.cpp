#include "rt/ops/add.h"

#include <gtest/gtest.h>

#include "rt/ops/linear.h"
#include "tests/support/op_suite.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;
using Run = std::function<rt::VarList(rt::Tape&, const rt::VarList&)>;

OpCase add_case(std::string name, rt::Shape shape, Run run) {
  return {
      .name = std::move(name),
      .inputs = {{.name = "a", .shape = shape, .time_major = true},
                 {.name = "b", .shape = shape, .time_major = true},
                 {.name = "weight", .shape = {shape.back(), shape.back()}, .kind = InputSpec::Kind::Weight}},
      .run = std::move(run)};
}

OpCase plain(rt::Shape shape) {
  OpCase c = add_case("add" + shape.to_string(), shape, [](rt::Tape& tape, const rt::VarList& in) {
    return rt::VarList{rt::add(tape, in[0], in[1])};
  });
  c.inputs.pop_back();
  return c;
}

// Sums of values that are themselves outputs, where gradients change hands instead of being copied.
std::vector<OpCase> cases() {
  const rt::Shape shape{3, 5, 19};
  return {plain({3, 7, 33}), plain({2, 1, 16}),
          add_case("residual", shape,
                   [](rt::Tape& t, const rt::VarList& in) {
                     const rt::Var x = rt::add(t, in[0], in[1]);
                     const rt::Var y = rt::add(t, x, rt::linear(t, x, in[2]));
                     return rt::VarList{rt::add(t, y, rt::linear(t, y, in[2]))};
                   }),
          add_case("with itself", shape,
                   [](rt::Tape& t, const rt::VarList& in) {
                     const rt::Var x = rt::linear(t, in[0], in[2]);
                     const rt::Var twice = rt::add(t, x, x);  // moved, then doubled in place
                     const rt::Var b = rt::add(t, in[1], in[1]);
                     return rt::VarList{rt::linear(t, rt::add(t, twice, b), in[2])};
                   }),
          add_case("one side reached before", shape, [](rt::Tape& t, const rt::VarList& in) {
            const rt::Var x = rt::linear(t, in[0], in[2]), z = rt::linear(t, in[1], in[2]);
            const rt::Var sum = rt::linear(t, rt::add(t, x, z), in[2]);
            return rt::VarList{rt::linear(t, x, in[2]), sum};  // x has a gradient when the sum's arrives
          })};
}

RT_OP_SUITE(Add, cases());

TEST(Add, ShapesMustAgree) {
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Cpu, 1 << 12, 0, 0);
  rt::Tape tape(ws.ctx(), rt::Record::No);
  const rt::Tensor a({2, 3}, rt::DType::F32), b({3, 2}, rt::DType::F32);
  EXPECT_THROW(rt::add(tape, tape.input(a.view), tape.input(b.view)), rt::Error);
}

}  // namespace
