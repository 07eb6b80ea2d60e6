#include "rt/infer/scorer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "rt/core/error.h"
#include "rt/infer/session.h"
#include "tests/support/model_harness.h"

namespace rt {
namespace {

using Ids = std::vector<std::int32_t>;
constexpr std::int64_t kVocab = 40;

// Weights are mostly noise, so that every token of a context tells.
struct Tiny : testing::Model {
  explicit Tiny(Impl impl_)
      : Model(testing::tiny_spec(kVocab), impl_ == Impl::Ref ? DType::F64 : DType::F32, 1.0), impl(impl_) {}
  DType compute() const { return impl == Impl::Ref ? DType::F64 : DType::F32; }
  Impl impl;
};

Ids ids(std::size_t n, std::uint64_t stream) {
  Ids out(n);
  const Rng rng{3, stream};
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::int32_t>(rng.below(i, kVocab));
  return out;
}

// Token by token through a session, with softmax written out: nothing in common with the scorer but the
// model.
Score alone(Session& session, const Ids& context, const Ids& continuation) {
  session.reset();
  Score score;
  std::span<const float> logits = session.feed(context);
  for (const std::int32_t id : continuation) {
    double sum = 0;
    std::size_t top = 0;
    for (std::size_t v = 0; v < logits.size(); ++v) {
      sum += std::exp(double{logits[v]} - double{logits[static_cast<std::size_t>(id)]});
      if (logits[v] > logits[top]) top = v;
    }
    score.log_prob -= std::log(sum);
    score.greedy = score.greedy && top == static_cast<std::size_t>(id);
    logits = session.feed({&id, 1});
  }
  return score;
}

// What greedy decoding writes after a context.
Ids likeliest(Session& session, const Ids& context, std::size_t n) {
  session.reset();
  Ids out;
  std::span<const float> logits = session.feed(context);
  while (out.size() < n) {
    out.push_back(static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    logits = session.feed({&out.back(), 1});
  }
  return out;
}

// Lengths around every border there is: of a context of one token, of padding, of a chunk, and of a batch.
std::vector<ScoreRequest> requests(Session& session) {
  std::vector<ScoreRequest> all;
  std::uint64_t stream = 0;
  for (const std::size_t context : {1, 2, 16, 17, 18, 3, 63, 64, 65, 66, 130, 200, 1, 40, 41, 129}) {
    ScoreRequest& r = all.emplace_back();
    r.context = ids(context, stream++);
    for (std::size_t j = 0; j < context % 4; ++j)
      r.continuations.push_back(ids(1 + (context * 7 + j) % 9, stream++));
    if (context % 2 == 0) r.continuations.push_back(ids(64 + context % 3, stream++));
    r.continuations.push_back(likeliest(session, r.context, 3));
    Ids nearly = r.continuations.back();
    nearly.back() = (nearly.back() + 1) % kVocab;
    r.continuations.push_back(nearly);
  }
  return all;
}

TEST(Scorer, EqualsScoringOneByOne) {
  for (const Impl impl : {Impl::Ref, Impl::Cpu}) {
    const Tiny tiny(impl);
    Session session(tiny.net, impl, tiny.compute());
    const std::vector<ScoreRequest> all = requests(session);
    std::vector<std::vector<Score>> want;
    for (const ScoreRequest& r : all) {
      want.emplace_back();
      for (const Ids& c : r.continuations) want.back().push_back(alone(session, r.context, c));
    }
    // The session's logits are floats.
    const double tolerance = impl == Impl::Ref ? 1e-5 : 1e-3;
    for (const std::int64_t rows : {1, 3, 32}) {
      Scorer scorer(tiny.net, impl, tiny.compute(), rows);
      const auto got = scorer.score(all, true);
      ASSERT_TRUE(got);
      ASSERT_EQ(got->size(), all.size());
      for (std::size_t i = 0; i < all.size(); ++i) {
        ASSERT_EQ((*got)[i].size(), want[i].size());
        for (std::size_t j = 0; j < want[i].size(); ++j) {
          EXPECT_NEAR((*got)[i][j].log_prob, want[i][j].log_prob, tolerance) << i << " " << j;
          EXPECT_EQ((*got)[i][j].greedy, want[i][j].greedy) << i << " " << j;
        }
        EXPECT_TRUE(want[i][want[i].size() - 2].greedy);
        EXPECT_FALSE(want[i].back().greedy);
      }
    }
  }
}

TEST(Scorer, TheSameWithAndWithoutCompanyAndTwice) {
  const Tiny tiny(Impl::Ref);
  Session session(tiny.net, Impl::Ref, tiny.compute());
  const std::vector<ScoreRequest> all = requests(session);
  Scorer scorer(tiny.net, Impl::Ref, tiny.compute(), 5);
  const auto together = scorer.score(all, false), again = scorer.score(all, false);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto single = scorer.score(std::span(all).subspan(i, 1), false);
    for (std::size_t j = 0; j < all[i].continuations.size(); ++j) {
      EXPECT_EQ((*together)[i][j].log_prob, (*again)[i][j].log_prob);
      EXPECT_NEAR((*together)[i][j].log_prob, (*single)[0][j].log_prob, 1e-11) << i << " " << j;
    }
  }
}

TEST(Scorer, StopsAndRefuses) {
  const Tiny tiny(Impl::Cpu);
  Scorer scorer(tiny.net, tiny.impl, tiny.compute(), 1);
  std::vector<ScoreRequest> three{{{1}, {{2}}}, {{1, 2}, {{2}}}, {{1, 2, 3}, {{2}}}};
  std::atomic<int> stop = 0;
  std::vector<std::uint64_t> seen;
  EXPECT_FALSE(scorer.score(three, false, &stop, [&](std::uint64_t done, std::uint64_t total) {
    seen.push_back(done);
    EXPECT_EQ(total, 3u);
    if (done == 2) stop = 1;
  }));
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 2}));
  three[1].continuations[0] = {kVocab};
  EXPECT_THROW(scorer.score(three, false), Error);
  three[1].continuations[0] = {};
  EXPECT_THROW(scorer.score(three, false), Error);
  three[1] = {{-1}, {{2}}};
  EXPECT_THROW(scorer.score(three, false), Error);
  EXPECT_TRUE(scorer.score({}, false)->empty());
}

}  // namespace
}  // namespace rt
