#include "rt/ops/channel_mix.h"

#include <gtest/gtest.h>

#include "tests/support/batch_grouping.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;

OpCase channel_mix_case(rt::Shape shape, std::int64_t F) {
  const std::int64_t C = shape.back();
  return {.name = "channel_mix" + shape.to_string(),
          .inputs = {{.name = "x", .shape = shape, .time_major = true},
                     {.name = "key", .shape = {F, C}, .kind = InputSpec::Kind::Weight},
                     {.name = "value", .shape = {C, F}, .kind = InputSpec::Kind::Weight}},
          .run = [](rt::Tape& tape, const rt::VarList& in) {
            return rt::VarList{rt::channel_mix(tape, in[0], in[1], in[2])};
          }};
}

std::vector<OpCase> cases() {
  return {channel_mix_case({3, 7, 17}, 70), channel_mix_case({1, 130, 24}, 96),
          channel_mix_case({3, 1, 20}, 33)};
}

RT_OP_SUITE(ChannelMix, cases());

TEST(ChannelMix, BitsDoNotDependOnTheMicroBatch) {
  rt::testing::check_batch_grouping(channel_mix_case({4, 70, 33}, 130), 4);
  rt::testing::check_batch_grouping(channel_mix_case({4, 1, 33}, 130), 4);
}

}  // namespace
