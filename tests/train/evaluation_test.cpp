#include "rt/train/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numbers>

#include "rt/infer/session.h"
#include "tests/support/model_harness.h"

namespace rt {
namespace {

constexpr std::int64_t kSeqLen = 20, kRows = 3;

// Loss and count by the number of tokens read since the state was last empty, token by token.
std::map<std::uint64_t, std::pair<double, std::uint64_t>> by_context(const LanguageModel& model,
                                                                     const data::TokenSource& source,
                                                                     bool resets) {
  std::map<std::uint64_t, std::pair<double, std::uint64_t>> sums;
  Session session(model, Impl::Cpu, DType::F32);
  for (std::uint64_t i = 0; i + 1 < source.size(); ++i) {
    if (i % kSeqLen == 0 || (resets && source.next_document(i) == i)) session.reset();
    std::int32_t pair[2];
    source.read(i, 2, pair);
    const std::span<const float> logits = session.feed({pair, 1});
    double total = 0;
    for (const float l : logits)
      total += std::exp(double{l} - double{logits[static_cast<std::size_t>(pair[1])]});
    auto& [loss, count] = sums[session.position()];
    loss += std::log(total);
    ++count;
  }
  return sums;
}

TEST(Evaluation, LossByPositionIsThatOfSingleTokens) {
  const testing::Model tiny(testing::tiny_spec(256), DType::F32, 1.0);  // mostly noise: every token tells
  std::vector<std::int32_t> ids(173);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<std::int32_t>(Rng{5, 0}.below(i, 256));
  }
  const data::MemoryTokens source(ids, {0, 7, 8, 41, 100, 119}, 256);
  const auto tokenizer = data::make_byte_tokenizer();
  for (const bool resets : {false, true}) {
    const auto want = by_context(tiny.net, source, resets);
    const auto workspace = plan_evaluation(Device::cpu(), tiny.net, kRows, kSeqLen, resets);
    const auto got = evaluate(workspace->ctx(), tiny.net, source, *tokenizer, kSeqLen, kRows, resets, 0);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->tokens, 172u);
    double total = 0;
    for (const auto& [n, sum] : want) total += sum.first;
    EXPECT_NEAR(got->loss, total / 172, 1e-4);
    EXPECT_NEAR(got->perplexity / std::exp(total / 172), 1, 1e-3);
    EXPECT_NEAR(got->bits_per_byte, total / 172 / std::numbers::ln2, 1e-3);
    ASSERT_EQ(got->by_position.size(), 6u);  // 1, 2, 3..4, 5..8, 9..16, 17..32
    std::uint64_t begin = 0, tokens = 0;
    for (const PositionLoss& p : got->by_position) {
      EXPECT_EQ(p.begin, begin);
      EXPECT_EQ(p.end, begin == 0 ? 1 : 2 * begin);
      begin = p.end;
      double loss = 0;
      std::uint64_t count = 0;
      for (auto at = want.upper_bound(p.begin); at != want.end() && at->first <= p.end; ++at) {
        loss += at->second.first;
        count += at->second.second;
      }
      EXPECT_EQ(p.tokens, count) << p.end;
      EXPECT_NEAR(p.loss, loss / static_cast<double>(count), 1e-3) << p.end;
      tokens += p.tokens;
    }
    EXPECT_EQ(tokens, got->tokens);
  }
}

}  // namespace
}  // namespace rt
