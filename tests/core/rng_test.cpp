#include "rt/core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace rt {
namespace {

// Known answers of Philox4x32-10 (Random123 kat_vectors): counter 0 and key 0 give 6627e8d5 e169c58d ...
TEST(Rng, MatchesPublishedPhilox) {
  const Rng zero{0, 0};
  EXPECT_EQ(zero.bits(0), 0xe169c58d6627e8d5u);
  const Rng ones{~std::uint64_t{0}, ~std::uint64_t{0}};
  EXPECT_EQ(ones.bits(~std::uint64_t{0}), 0x41c83b0e408f276du);
}

TEST(Rng, MomentsAndRange) {
  const Rng rng{7, 3};
  double mean = 0, square = 0, normal = 0, normal_square = 0;
  constexpr int n = 20000;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double u = rng.uniform(i), z = rng.normal(i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ASSERT_LT(rng.below(i, 10), 10u);
    mean += u / n;
    square += u * u / n;
    normal += z / n;
    normal_square += z * z / n;
  }
  EXPECT_NEAR(mean, 0.5, 0.01);
  EXPECT_NEAR(square, 1.0 / 3, 0.01);
  EXPECT_NEAR(normal, 0, 0.03);
  EXPECT_NEAR(normal_square, 1, 0.03);
}

TEST(Rng, ChildrenDiffer) {
  const Rng rng{7, 0};
  std::set<std::uint64_t> seen;
  for (const char* purpose : {"init", "data", "sampler", "emb.weight", "head.weight"}) {
    EXPECT_TRUE(seen.insert(rng.child(purpose).bits(0)).second);
    EXPECT_EQ(rng.child(purpose).bits(5), rng.child(purpose).bits(5));
  }
  EXPECT_TRUE(seen.insert(rng.bits(0)).second);
}

}  // namespace
}  // namespace rt
