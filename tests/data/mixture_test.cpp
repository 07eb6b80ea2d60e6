#include "rt/data/mixture.h"

#include <cmath>

#include "data/hash.h"
#include "rt/core/rng.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

using Shares = std::vector<Mixture::Share>;

// After any number of samples every source has given floor or ceil of its share, and indices count up.
void expect_quota(const Shares& shares, std::uint64_t samples, double slack = 1e-6) {
  const Mixture mixture(shares);
  double sum = 0;
  for (const auto& s : shares) sum += s.weight;
  std::vector<std::uint64_t> given(shares.size(), 0);
  for (std::uint64_t i = 0; i < samples; ++i) {
    const Mixture::Pick pick = mixture.at(i);
    ASSERT_LT(pick.source, shares.size());
    ASSERT_EQ(pick.index, given[pick.source]++);
    for (std::size_t j = 0; j < shares.size(); ++j) {
      const double share = shares[j].weight / sum * static_cast<double>(i + 1);
      ASSERT_GE(static_cast<double>(given[j]), std::floor(share + slack) - slack) << j << " after " << i + 1;
      ASSERT_LE(static_cast<double>(given[j]), std::ceil(share - slack) + slack) << j << " after " << i + 1;
    }
    if (i % 97 == 0) { ASSERT_EQ(mixture.used(i + 1), given); }
  }
}

TEST(Mixture, EverySourceHasGivenFloorOrCeilOfItsShare) {
  expect_quota({{1.0}}, 1000);
  expect_quota({{1.0}, {1.0}}, 1000);
  expect_quota({{0.7}, {0.3}}, 5000);
  expect_quota({{2.0}, {3.0}, {5.0}}, 5000);
  expect_quota({{0.5}, {0.3}, {0.1}, {0.05}, {0.03}, {0.02}}, 5000);
  expect_quota({{1.0}, {1.0 / 999}}, 5000);  // 999 : 1
  const Rng rng{3, 4};
  for (std::uint64_t trial = 0; trial < 40; ++trial) {
    Shares shares;
    for (std::uint64_t j = 0; j < 2 + rng.below(trial, 9); ++j)
      shares.push_back({static_cast<double>(1 + rng.below(100 + 16 * trial + j, 50))});
    expect_quota(shares, 1500);
  }
}

TEST(Mixture, SharesOfNoCommonPeriodAreRoundedToThePeriod) {
  const Shares shares{{std::sqrt(2.0)}, {1.0}, {1e-9}};
  const Mixture mixture(shares);
  const std::uint64_t n = 5 * std::uint64_t{Mixture::kPeriod};
  const auto used = mixture.used(n);
  EXPECT_NEAR(static_cast<double>(used[0]) / static_cast<double>(n), std::sqrt(2.0) / (1 + std::sqrt(2.0)),
              1.5 / Mixture::kPeriod);
  EXPECT_EQ(used[2], 5u);  // the smallest part there is, not nothing
  EXPECT_EQ(used[0] + used[1] + used[2], n);
}

TEST(Mixture, AtItsLimitASourceHandsOver) {
  // 50 : 30 : 20; the second ends after 9 samples, the third after 11.
  const Shares shares{{5.0}, {3.0, 9}, {2.0, 11}};
  const Mixture mixture(shares);
  EXPECT_EQ(mixture.size(), Mixture::kNoLimit);
  std::vector<std::uint64_t> given(3, 0);
  std::uint64_t second_ends = 0, third_ends = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const auto pick = mixture.at(i);
    ASSERT_EQ(pick.index, given[pick.source]++);
    if (pick.source == 1 && given[1] == 9) second_ends = i + 1;
    if (pick.source == 2 && given[2] == 11) third_ends = i + 1;
    ASSERT_EQ(mixture.used(i + 1), given);
  }
  EXPECT_EQ(given[1], 9u);
  EXPECT_EQ(given[2], 11u);
  EXPECT_NEAR(static_cast<double>(second_ends), 30, 3);
  // 6 of the third are gone by then; the other 5 come at 2 of 7.
  EXPECT_NEAR(static_cast<double>(third_ends), 30 + 5 * 3.5, 4);
}

TEST(Mixture, EndsWhenEverySourceIsAtItsLimit) {
  for (std::uint64_t a = 0; a < 12; ++a) {
    for (std::uint64_t b = 0; b < 12; ++b) {
      const Mixture mixture(Shares{{0.6, a}, {0.4, b}});
      ASSERT_EQ(mixture.size(), a + b);
      const std::vector<std::uint64_t> expected{a, b};
      EXPECT_EQ(mixture.used(a + b), expected);
      std::vector<std::uint64_t> given(2, 0);
      for (std::uint64_t i = 0; i < a + b; ++i) {
        const auto pick = mixture.at(i);
        ASSERT_EQ(pick.index, given[pick.source]++);
      }
      EXPECT_EQ(given, expected);
      error_of([&] { mixture.at(a + b); }, Exit::Failure);
    }
  }
}

TEST(Mixture, NumbersBeyond32Bits) {
  const std::uint64_t limit = (std::uint64_t{1} << 40) + 3;
  const Mixture mixture(Shares{{3.0}, {1.0, limit}});
  const std::uint64_t far = (std::uint64_t{1} << 41) + 1;  // before the limit: 1 of 4
  EXPECT_EQ(mixture.used(far)[1], far / 4);
  const std::uint64_t beyond = std::uint64_t{1} << 50;
  EXPECT_EQ(mixture.used(beyond)[1], limit);
  EXPECT_EQ(mixture.at(beyond).source, 0u);
  EXPECT_EQ(mixture.at(beyond).index, beyond - limit);
}

TEST(Mixture, ValuesNeverChange) {  // a changed order would silently break every resumed run
  std::vector<std::uint64_t> values;
  const Mixture mixture(Shares{{0.55}, {0.25, 400}, {0.2}, {std::sqrt(0.1), 77}});
  for (std::uint64_t i = 0; i < 4000; ++i) {
    values.push_back(mixture.at(i).source);
    values.push_back(mixture.at(i).index);
  }
  EXPECT_EQ(hex16(xxh3(values.data(), values.size() * sizeof(values[0]))), "1d8febcc45399265");
}

}  // namespace
}  // namespace rt::data
