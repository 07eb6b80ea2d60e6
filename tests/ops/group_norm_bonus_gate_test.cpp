#include "rt/ops/group_norm_bonus_gate.h"

#include <gtest/gtest.h>

#include "tests/support/op_suite.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;
using Kind = InputSpec::Kind;

OpCase make(const rt::Shape& shape, std::int64_t head_size, double eps) {
  const std::int64_t C = shape.back();
  return {.name = "group_norm_bonus_gate" + shape.to_string() + " head " + std::to_string(head_size),
          .inputs = {{.name = "y", .shape = shape, .lo = -1, .hi = 2, .time_major = true},
                     {.name = "r", .shape = shape, .time_major = true},
                     {.name = "k", .shape = shape, .lo = -0.5, .hi = 1, .time_major = true},
                     {.name = "v", .shape = shape, .time_major = true},
                     {.name = "gate", .shape = shape, .lo = -0.5, .hi = 1.5, .time_major = true},
                     {.name = "r_k", .shape = {C / head_size, head_size}, .kind = Kind::Weight},
                     {.name = "weight", .shape = {C}, .kind = Kind::Weight, .lo = 0.5, .hi = 1.5},
                     {.name = "bias", .shape = {1, 1, C}, .kind = Kind::Weight}},
          .run = [=](rt::Tape& tape, const rt::VarList& in) {
            return rt::VarList{rt::group_norm_bonus_gate(tape, in[0], in[1], in[2], in[3], in[4], in[5],
                                                         in[6], in[7], head_size, eps)};
          }};
}

std::vector<OpCase> cases() {
  return {make({3, 7, 48}, 16, 64e-5), make({1, 67, 192}, 64, 64e-5), make({3, 5, 160}, 32, 1e-5),
          make({2, 3, 768}, 256, 64e-5), make({3, 1, 96}, 48, 64e-5)};
}

RT_OP_SUITE(GroupNormBonusGate, cases());

TEST(GroupNormBonusGate, RefusesWhatDoesNotFit) {
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Ref, 1 << 20, 1 << 20, 1 << 20);
  const rt::Tensor y({1, 2, 48}, rt::DType::F64), w({48}, rt::DType::F64);
  rt::Tape tape(ws.ctx(), rt::Record::No);
  const rt::Var in = tape.input(y.view), weight = tape.input(w.view);
  for (const std::int64_t head_size : {0, 24, 32}) {
    EXPECT_THROW(
        rt::group_norm_bonus_gate(tape, in, in, in, in, in, weight, weight, weight, head_size, 64e-5),
        rt::Error)
        << head_size;
  }
  EXPECT_THROW(rt::group_norm_bonus_gate(tape, in, in, in, weight, in, weight, weight, weight, 16, 64e-5),
               rt::Error);
  EXPECT_THROW(rt::group_norm_bonus_gate(tape, in, in, in, in, in, in, weight, weight, 16, 64e-5), rt::Error);
}

}  // namespace
