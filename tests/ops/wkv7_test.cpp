#include "rt/ops/wkv7.h"

#include <gtest/gtest.h>

#include "tests/support/op_suite.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;
using Kind = InputSpec::Kind;

struct Form {
  std::int64_t B, T, H, N;
  bool state, reset;
  rt::Wkv7Decay decay;
};

OpCase make_case(const Form& f) {
  const rt::Shape shape{f.B, f.T, f.H * f.N};
  const bool raw = f.decay == rt::Wkv7Decay::Raw;
  // |a| and |b| are about 1 per head, so that the state neither dies nor explodes.
  const double unit = 1.7 / std::sqrt(static_cast<double>(f.N));
  OpCase c;
  c.name = rt::format("wkv7{} N={}{}{}{}", shape, f.N, f.state ? " s0" : "", f.reset ? " reset" : "",
                      raw ? " raw" : " clamped");
  c.inputs = {
      {.name = "r", .shape = shape, .time_major = true},
      {.name = "w", .shape = shape, .lo = raw ? -6.0 : -4.0, .hi = raw ? 1.5 : 4.0, .time_major = true},
      {.name = "k", .shape = shape, .time_major = true},
      {.name = "v", .shape = shape, .time_major = true},
      {.name = "a", .shape = shape, .lo = -unit, .hi = unit, .time_major = true},
      {.name = "b", .shape = shape, .lo = -unit, .hi = unit, .time_major = true}};
  if (f.state) {
    c.inputs.push_back({.name = "s0", .shape = {f.B, f.H, f.N, f.N}, .kind = Kind::State, .state_out = 1});
  }
  if (f.reset) {
    c.inputs.push_back({.name = "reset",
                        .shape = {f.B, f.T},
                        .kind = Kind::Mask,
                        .hi = 0.15,
                        .differentiable = false,
                        .time_major = true});
  }
  c.run = [f](rt::Tape& tape, const rt::VarList& in) {
    const rt::Var s0 = f.state ? in[6] : rt::Var{}, reset = f.reset ? in.back() : rt::Var{};
    const auto out = rt::wkv7(tape, in[0], in[1], in[2], in[3], in[4], in[5], s0, reset, f.N, f.decay);
    return rt::VarList{out.y, out.state};
  };
  return c;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Form& f : {Form{2, 7, 2, 16, true, true, rt::Wkv7Decay::Clamped},
                        Form{1, 1, 2, 32, true, false, rt::Wkv7Decay::Raw},
                        Form{1, 17, 1, 48, true, true, rt::Wkv7Decay::Raw},
                        Form{1, 34, 1, 64, true, true, rt::Wkv7Decay::Clamped}}) {
    all.push_back(make_case(f));
  }
  return all;
}

RT_OP_SUITE(Wkv7, cases());

}  // namespace
