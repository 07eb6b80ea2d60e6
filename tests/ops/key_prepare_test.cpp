#include "rt/ops/key_prepare.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/op_suite.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;
using Kind = InputSpec::Kind;

// keep: 0 all outputs get a gradient, 1 only k, 2 only a, 3 only b.
OpCase make(const rt::Shape& shape, std::int64_t head_size, int keep = 0) {
  const std::int64_t C = shape.back();
  OpCase c{.name = "key_prepare" + shape.to_string() + " head " + std::to_string(head_size) + " keep " +
                   std::to_string(keep),
           .inputs = {{.name = "k", .shape = shape, .lo = -1, .hi = 2, .time_major = true},
                      {.name = "rate", .shape = shape, .lo = 0.05, .hi = 0.95, .time_major = true},
                      {.name = "k_k", .shape = {1, 1, C}, .kind = Kind::Weight, .lo = -0.5, .hi = 1.5},
                      {.name = "k_a", .shape = {C}, .kind = Kind::Weight, .lo = 0.5, .hi = 1.5}},
           .run = [=](rt::Tape& tape, const rt::VarList& in) {
             const auto out = rt::key_prepare(tape, in[0], in[1], in[2], in[3], head_size);
             const auto only = [&](int which, rt::Var v) {
               return keep == 0 || keep == which ? v : rt::Var{};
             };
             return rt::VarList{only(1, out.k), only(2, out.a), only(3, out.b)};
           }};
  for (InputSpec& in : c.inputs) in.time_major = in.time_major && keep == 0;  // cuts want every output
  // An output that does not depend on an input leaves its gradient zero, which GradModes cannot tell from
  // a node that never ran.
  if (keep == 1) c.inputs[2].differentiable = false;
  if (keep == 2) c.inputs[1].differentiable = c.inputs[3].differentiable = false;
  if (keep == 3) c.inputs[3].differentiable = false;
  return c;
}

std::vector<OpCase> cases() {
  return {make({3, 7, 48}, 16), make({1, 67, 192}, 64),  make({3, 5, 160}, 32),   make({2, 3, 768}, 256),
          make({1, 1, 96}, 48), make({2, 5, 32}, 16, 1), make({2, 5, 32}, 16, 2), make({2, 5, 32}, 16, 3)};
}

RT_OP_SUITE(KeyPrepare, cases());

// A key of zeros (or below 1e-12) has the constant divisor 1e-12: finite, and the same everywhere.
TEST(KeyPrepare, TinyKeysDivideByTheFloor) {
  for (const rt::Impl impl : {rt::Impl::Ref, rt::Impl::Cpu}) {
    const rt::DType dtype = impl == rt::Impl::Ref ? rt::DType::F64 : rt::DType::F32;
    rt::Workspace ws(rt::Device::cpu(), impl, 1 << 20, 1 << 20, 1 << 20);
    const rt::Shape shape{1, 1, 32};  // one head of zeros, one of 1e-14
    const rt::Tensor k(shape, dtype), rate(shape, dtype), ones({32}, dtype), dk(shape, dtype),
        da(shape, dtype);
    for (int i = 0; i < 32; ++i) {
      rt::set_element(k.view, i, i < 16 ? 0 : 1e-14);
      rt::set_element(rate.view, i, 0.5);
      rt::set_element(ones.view, i, 1);
      rt::set_element(da.view, i, 1e-6 * (i + 1));
    }
    rt::Tape tape(ws.ctx(), rt::Record::Yes);
    const rt::Var in = tape.input(k.view, {dk.view, rt::GradMode::Overwrite});
    const rt::Var one = tape.input(ones.view);
    const auto out = rt::key_prepare(tape, in, tape.input(rate.view), one, one, 16);
    EXPECT_EQ(rt::element(tape.value(out.a), 3), 0);
    EXPECT_NEAR(rt::element(tape.value(out.a), 20), -1e-2, 1e-8);
    EXPECT_NEAR(rt::element(tape.value(out.b), 20), 5e-3, 1e-8);
    tape.seed(out.a, da.view);
    tape.backward();
    for (int i = 0; i < 32; ++i) EXPECT_NEAR(rt::element(dk.view, i), -1e6 * (i + 1), 1e6 * 1e-5 * (i + 1));
  }
}

TEST(KeyPrepare, RefusesHeadsThatDoNotFit) {
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Ref, 1 << 20, 1 << 20, 1 << 20);
  const rt::Tensor k({1, 2, 48}, rt::DType::F64), w({48}, rt::DType::F64);
  rt::Tape tape(ws.ctx(), rt::Record::No);
  const rt::Var in = tape.input(k.view), weight = tape.input(w.view);
  for (const std::int64_t head_size : {0, 24, 32}) {
    EXPECT_THROW(rt::key_prepare(tape, in, in, weight, weight, head_size), rt::Error) << head_size;
  }
  EXPECT_THROW(rt::key_prepare(tape, in, in, weight, in, 16), rt::Error);
}

}  // namespace
