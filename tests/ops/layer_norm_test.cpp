#include "rt/ops/layer_norm.h"

#include <gtest/gtest.h>

#include "tests/support/op_suite.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const auto& shape : {rt::Shape{2, 7, 33}, rt::Shape{1, 70, 64}, rt::Shape{3, 1, 16}}) {
    const std::int64_t C = shape.back();
    all.push_back(
        {.name = "layer_norm" + shape.to_string(),
         .inputs = {{.name = "x", .shape = shape, .lo = -2, .hi = 3, .time_major = true},
                    {.name = "weight", .shape = {C}, .kind = InputSpec::Kind::Weight, .lo = 0.5, .hi = 1.5},
                    {.name = "bias", .shape = {C}, .kind = InputSpec::Kind::Weight}},
         .run = [](rt::Tape& tape, const rt::VarList& in) {
           return rt::VarList{rt::layer_norm(tape, in[0], in[1], in[2])};
         }});
  }
  return all;
}

RT_OP_SUITE(LayerNorm, cases());

}  // namespace
