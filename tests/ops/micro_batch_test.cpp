#include <gtest/gtest.h>

#include "rt/ops/group_norm_bonus_gate.h"
#include "rt/ops/key_prepare.h"
#include "rt/ops/layer_norm.h"
#include "rt/ops/low_rank.h"
#include "rt/ops/token_shift.h"
#include "tests/support/batch_grouping.h"

// A step's parameter gradients have the same bits however its sequences are grouped into micro-batches.
namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;
using Kind = InputSpec::Kind;

constexpr std::int64_t kB = 4, kT = 70, kC = 96, kN = 32;

InputSpec activation(const char* name) { return {.name = name, .shape = {kB, kT, kC}, .lo = -0.5, .hi = 1}; }
InputSpec weight(const char* name, rt::Shape shape = {kC}) {
  return {.name = name, .shape = shape, .kind = Kind::Weight};
}

std::vector<OpCase> cases() {
  return {{.name = "layer_norm",
           .inputs = {activation("x"), weight("weight"), weight("bias")},
           .run = [](rt::Tape& t,
                     const rt::VarList& in) { return rt::VarList{rt::layer_norm(t, in[0], in[1], in[2])}; }},
          {.name = "token_shift",
           .inputs =
               {activation("x"),
                weight("mix0"),
                weight("mix1"),
                {.name = "shift_state", .shape = {kB, kC}},
                {.name = "reset", .shape = {kB, kT}, .kind = Kind::Mask, .hi = 0.1, .differentiable = false}},
           .run =
               [](rt::Tape& t, const rt::VarList& in) {
                 const auto r = rt::token_shift(t, in[0], std::span(in).subspan(1, 2), in[3], in[4]);
                 return rt::VarList{r.y[0], r.y[1], r.state};
               }},
          {.name = "key_prepare",
           .inputs = {activation("k"), activation("rate"), weight("k_k"), weight("k_a")},
           .run =
               [](rt::Tape& t, const rt::VarList& in) {
                 const auto r = rt::key_prepare(t, in[0], in[1], in[2], in[3], kN);
                 return rt::VarList{r.k, r.a, r.b};
               }},
          {.name = "group_norm_bonus_gate",
           .inputs = {activation("y"), activation("r"), activation("k"), activation("v"), activation("gate"),
                      weight("r_k", {kC / kN, kN}), weight("weight"), weight("bias")},
           .run =
               [](rt::Tape& t, const rt::VarList& in) {
                 return rt::VarList{rt::group_norm_bonus_gate(t, in[0], in[1], in[2], in[3], in[4], in[5],
                                                              in[6], in[7], kN, 64e-5)};
               }},
          {.name = "low_rank",
           .inputs = {activation("x"), weight("w1", {kC, 20}), weight("w2", {20, kC}), weight("bias")},
           .run = [](rt::Tape& t, const rt::VarList& in) {
             return rt::VarList{
                 rt::low_rank(t, in[0], in[1], in[2], in[3], rt::Activation::Tanh, rt::Activation::Sigmoid)};
           }}};
}

TEST(MicroBatch, GroupingDoesNotMoveBits) {
  for (const OpCase& c : cases()) rt::testing::check_batch_grouping(c, kB);
}

}  // namespace
