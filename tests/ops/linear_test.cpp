#include "rt/ops/linear.h"

#include <gtest/gtest.h>

#include "tests/support/batch_grouping.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;

OpCase linear_case(rt::Shape shape, std::int64_t M) {
  return {.name = "linear" + shape.to_string(),
          .inputs = {{.name = "x", .shape = shape, .time_major = shape.rank() == 3},
                     {.name = "weight", .shape = {M, shape.back()}, .kind = InputSpec::Kind::Weight}},
          .run = [](rt::Tape& tape, const rt::VarList& in) {
            return rt::VarList{rt::linear(tape, in[0], in[1])};
          }};
}

std::vector<OpCase> cases() {
  return {linear_case({3, 7, 33}, 20), linear_case({1, 130, 48}, 250), linear_case({3, 1, 37}, 5),
          linear_case({2, 300, 16}, 7), linear_case({6, 9}, 4)};
}

RT_OP_SUITE(Linear, cases());

TEST(Linear, BitsDoNotDependOnTheMicroBatch) {
  rt::testing::check_batch_grouping(linear_case({4, 70, 33}, 50), 4);
  rt::testing::check_batch_grouping(linear_case({4, 300, 64}, 200), 4);
  rt::testing::check_batch_grouping(linear_case({8, 1, 33}, 50), 8);
}

}  // namespace
