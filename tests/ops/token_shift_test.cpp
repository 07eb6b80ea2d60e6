#include "rt/ops/token_shift.h"

#include <gtest/gtest.h>

#include "tests/support/op_suite.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;
using Kind = InputSpec::Kind;

struct Config {
  rt::Shape shape;
  int mixes;
  bool state, reset;
  int keep = -1;  // only this output (mixes = the state) gets a gradient
};

OpCase make(const Config& f) {
  const std::int64_t B = f.shape[0], T = f.shape[1], C = f.shape[2];
  OpCase c;
  c.name = "token_shift" + f.shape.to_string() + " mixes " + std::to_string(f.mixes) +
           (f.state ? " state" : "") + (f.reset ? " reset" : "") +
           (f.keep >= 0 ? " only " + std::to_string(f.keep) : "");
  // Without a state there is nothing to carry over a cut, so such cases are not cut.
  c.inputs.push_back({.name = "x", .shape = f.shape, .time_major = f.state});
  for (int n = 0; n < f.mixes; ++n) {
    // As official files store it, and plain.
    c.inputs.push_back({.name = "mix" + std::to_string(n),
                        .shape = n % 2 == 0 ? rt::Shape{1, 1, C} : rt::Shape{C},
                        .kind = Kind::Weight,
                        .lo = 0});
  }
  if (f.state) c.inputs.push_back({.name = "shift_state", .shape = {B, C}, .state_out = f.mixes});
  if (f.reset) {
    c.inputs.push_back({.name = "reset",
                        .shape = {B, T},
                        .kind = Kind::Mask,
                        .hi = 0.3,
                        .differentiable = false,
                        .time_major = f.state});
  }
  c.run = [f](rt::Tape& tape, const rt::VarList& in) {
    const auto mixes = static_cast<std::size_t>(f.mixes);
    const rt::Var state = f.state ? in[1 + mixes] : rt::Var{};
    const rt::Var reset = f.reset ? in.back() : rt::Var{};
    const auto r = rt::token_shift(tape, in[0], std::span(in).subspan(1, mixes), state, reset);
    rt::VarList out = r.y;
    out.push_back(r.state);
    for (std::size_t k = 0; f.keep >= 0 && k < out.size(); ++k) {
      if (static_cast<int>(k) != f.keep) out[k] = {};
    }
    return out;
  };
  for (InputSpec& in : c.inputs) {
    if (f.keep >= 0) in.time_major = false;                              // a cut needs the state
    if (f.keep == f.mixes && in.name != "x") in.differentiable = false;  // the state depends on x alone
  }
  return c;
}

std::vector<OpCase> cases() {
  return {make({{3, 7, 33}, 6, true, true}),     make({{1, 67, 48}, 1, true, false}),
          make({{2, 33, 20}, 2, false, true}),   make({{3, 1, 16}, 8, true, true}),
          make({{2, 32, 17}, 3, false, false}),  make({{3, 65, 16}, 5, true, true}),
          make({{2, 5, 16}, 2, true, false, 1}),  // gradients of the other outputs are empty
          make({{2, 5, 16}, 2, true, true, 2})};
}

RT_OP_SUITE(TokenShift, cases());

TEST(TokenShift, StepUpdatesTheStateInPlace) {
  for (const rt::Impl impl : {rt::Impl::Ref, rt::Impl::Cpu}) {
    const rt::DType dtype = impl == rt::Impl::Ref ? rt::DType::F64 : rt::DType::F32;
    rt::Workspace ws(rt::Device::cpu(), impl, 1 << 20, 1 << 20, 1 << 20);
    const rt::Tensor x({1, 1, 2}, dtype), mix({2}, dtype), state({1, 2}, dtype);
    for (int i = 0; i < 2; ++i) {
      rt::set_element(x.view, i, 3);
      rt::set_element(mix.view, i, 0.25);
      rt::set_element(state.view, i, 7);
    }
    rt::Tape tape(ws.ctx(), rt::Record::No);
    const rt::VarList mixes{tape.input(mix.view)};
    const auto r = rt::token_shift(tape, tape.input(x.view), mixes, tape.input(state.view), {});
    EXPECT_EQ(tape.value(r.state).data, state.view.data);
    EXPECT_EQ(rt::element(tape.value(r.y[0]), 1), 4);
    EXPECT_EQ(rt::element(state.view, 1), 3);
  }
}

TEST(TokenShift, RefusesWhatDoesNotFit) {
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Ref, 1 << 20, 1 << 20, 1 << 20);
  const rt::Tensor x({2, 3, 4}, rt::DType::F64), mix({4}, rt::DType::F64), small({3}, rt::DType::F64);
  const rt::Tensor state({2, 3}, rt::DType::F64);
  rt::Tape tape(ws.ctx(), rt::Record::No);
  const rt::Var in = tape.input(x.view);
  const rt::VarList good{tape.input(mix.view)}, bad{tape.input(small.view)}, many(9, good[0]);
  EXPECT_THROW(rt::token_shift(tape, in, bad, {}, {}), rt::Error);
  EXPECT_THROW(rt::token_shift(tape, in, many, {}, {}), rt::Error);
  EXPECT_THROW(rt::token_shift(tape, in, {}, {}, {}), rt::Error);
  EXPECT_THROW(rt::token_shift(tape, in, good, tape.input(state.view), {}), rt::Error);
}

}  // namespace
