#include "rt/core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "rt/core/dtype.h"
#include "rt/core/philox.h"

namespace rt {
namespace {

double as_double(bf16 x) { return static_cast<double>(static_cast<float>(x)); }

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

// Over all 65536 values of the random bits the mean is the number itself, exactly: no bias, however small the
// number.
TEST(StochasticRounding, IsUnbiased) {
  const float tiny = std::numeric_limits<float>::denorm_min(), huge = std::numeric_limits<float>::max();
  for (const float size : {1.0f, 1.2345678f, 1e-3f, 3.3e38f, 1.1754943e-38f, 9e-41f, 1e-44f, tiny, 0.0f}) {
    for (const float x : {size, -size}) {
      double sum = 0, least = std::numeric_limits<double>::max(), most = -least;
      for (std::uint32_t random = 0; random < 65536; ++random) {
        const float rounded = round_stochastic(x, random);
        ASSERT_EQ(as_double(bf16(rounded)), static_cast<double>(rounded)) << x;
        sum += static_cast<double>(rounded);
        least = std::min(least, static_cast<double>(rounded));
        most = std::max(most, static_cast<double>(rounded));
      }
      EXPECT_EQ(sum / 65536, static_cast<double>(x));
      // Neighbours: nothing in bf16 lies between them, and x does.
      EXPECT_LE(least, x);
      EXPECT_GE(most, x);
      const double middle = least + (most - least) / 2;
      const double nearest = as_double(bf16(static_cast<float>(middle)));
      EXPECT_TRUE(nearest == least || nearest == most) << x;
    }
  }
  for (const std::uint32_t random : {0u, 1u, 65535u}) {
    EXPECT_TRUE(std::isnan(round_stochastic(NAN, random)));
    EXPECT_EQ(round_stochastic(-INFINITY, random), -INFINITY);
    EXPECT_GE(round_stochastic(huge, random), as_double(bf16(3.3895e38f)));
  }
}

}  // namespace
}  // namespace rt
