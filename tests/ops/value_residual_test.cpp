#include "rt/ops/value_residual.h"

#include <gtest/gtest.h>

#include "tests/support/op_suite.h"

namespace {

using rt::testing::OpCase;

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const auto& shape : {rt::Shape{3, 7, 33}, rt::Shape{1, 1, 16}, rt::Shape{2, 130, 80}}) {
    all.push_back({.name = "value_residual" + shape.to_string(),
                   .inputs = {{.name = "v", .shape = shape, .time_major = true},
                              {.name = "v_first", .shape = shape, .time_major = true},
                              {.name = "gate", .shape = shape, .lo = 0, .time_major = true}},
                   .run = [](rt::Tape& tape, const rt::VarList& in) {
                     return rt::VarList{rt::value_residual(tape, in[0], in[1], in[2])};
                   }});
  }
  return all;
}

RT_OP_SUITE(ValueResidual, cases());

// In a layer whose v is v_first both gradients meet in one slot.
TEST(ValueResidual, GradientsOfOneInputInTwoPlacesAddUp) {
  for (const rt::Impl impl : {rt::Impl::Ref, rt::Impl::Cpu}) {
    const rt::DType dtype = impl == rt::Impl::Ref ? rt::DType::F64 : rt::DType::F32;
    rt::Workspace ws(rt::Device::cpu(), impl, 1 << 20, 1 << 20, 1 << 20);
    const rt::Tensor v({1, 1, 20}, dtype), gate({1, 1, 20}, dtype), dv({1, 1, 20}, dtype),
        dy({1, 1, 20}, dtype);
    for (int i = 0; i < 20; ++i) {
      rt::set_element(gate.view, i, 0.25);
      rt::set_element(dy.view, i, i);
    }
    rt::Tape tape(ws.ctx(), rt::Record::Yes);
    const rt::Var in = tape.input(v.view, {dv.view, rt::GradMode::Overwrite});
    tape.seed(rt::value_residual(tape, in, in, tape.input(gate.view)), dy.view);
    tape.backward();
    for (int i = 0; i < 20; ++i) EXPECT_EQ(rt::element(dv.view, i), i);
  }
}

}  // namespace
