#include "rt/ops/embedding.h"

#include <gtest/gtest.h>

#include "tests/support/batch_grouping.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;

// Few ids of a larger table: some rows repeat, many stay untouched.
OpCase embedding_case(std::int64_t B, std::int64_t T, std::int64_t C) {
  const rt::Shape ids{B, T};
  return {.name = "embedding" + ids.to_string(),
          .inputs = {{.name = "tokens",
                      .shape = ids,
                      .kind = InputSpec::Kind::Ids,
                      .lo = 3,
                      .hi = 11,
                      .differentiable = false,
                      .time_major = true},
                     {.name = "weight", .shape = {23, C}, .kind = InputSpec::Kind::Weight}},
          .run = [](rt::Tape& tape, const rt::VarList& in) {
            return rt::VarList{rt::embedding(tape, in[0], in[1])};
          }};
}

std::vector<OpCase> cases() {
  return {embedding_case(3, 7, 33), embedding_case(1, 70, 130), embedding_case(3, 1, 16)};
}

RT_OP_SUITE(Embedding, cases());

TEST(Embedding, BitsDoNotDependOnTheMicroBatch) {
  rt::testing::check_batch_grouping(embedding_case(4, 50, 70), 4);
}

TEST(Embedding, TokenOutsideTheVocabularyIsRefused) {
  for (const rt::Impl impl : {rt::Impl::Ref, rt::Impl::Cpu}) {
    for (const std::int32_t bad : {-1, 5}) {
      const auto dtype = impl == rt::Impl::Ref ? rt::DType::F64 : rt::DType::F32;
      const rt::Tensor tokens({2, 3}, rt::DType::I32), weight({5, 4}, dtype);
      tokens.view.as<std::int32_t>()[4] = bad;
      rt::Workspace ws(rt::Device::cpu(), impl, 1 << 12, 1 << 12, 0);
      rt::Tape tape(ws.ctx(), rt::Record::No);
      try {
        rt::embedding(tape, tape.input(tokens.view), tape.input(weight.view));
        FAIL() << "accepted " << bad;
      } catch (const rt::Error& e) {
        EXPECT_EQ(e.code(), rt::Exit::Data);
        EXPECT_EQ(e.what(),
                  rt::format("embedding: token {} at sequence 1, position 1 is not in [0, 5)", bad));
      }
    }
  }
}

}  // namespace
