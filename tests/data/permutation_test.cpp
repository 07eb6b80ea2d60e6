#include "rt/data/permutation.h"

#include <set>
#include <vector>

#include "data/hash.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

TEST(Permutation, IsABijectionForEverySize) {
  std::vector<char> seen;
  for (std::uint64_t n = 1; n <= 2000; ++n) {
    const Permutation p(n, 42, n % 5);
    seen.assign(n, 0);
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t to = p(i);
      ASSERT_LT(to, n);
      ASSERT_EQ(seen[to]++, 0) << n;
    }
  }
  const std::uint64_t large = 300007;
  const Permutation p(large, 1, 0);
  seen.assign(large, 0);
  for (std::uint64_t i = 0; i < large; ++i) ASSERT_EQ(seen[p(i)]++, 0);
  error_of([] { Permutation(0, 1, 1); }, Exit::Failure);
}

TEST(Permutation, HugeSizesStayInRangeWithoutCollisions) {
  for (const std::uint64_t n :
       {(std::uint64_t{1} << 32) + 7, (std::uint64_t{1} << 62) + 1, ~std::uint64_t{0}}) {
    const Permutation p(n, 9, 3);
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const std::uint64_t to = p(i % 2 == 0 ? i : n - 1 - i);
      EXPECT_LT(to, n);
      EXPECT_TRUE(seen.insert(to).second);
    }
  }
}

TEST(Permutation, DependsOnSeedAndEpochAndMixes) {
  const std::uint64_t n = 1000;
  const Permutation a(n, 1, 0), b(n, 1, 1), c(n, 2, 0);
  int same_b = 0, same_c = 0, fixed = 0, neighbours = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    same_b += a(i) == b(i);
    same_c += a(i) == c(i);
    fixed += a(i) == i;
    neighbours += i > 0 && a(i) == a(i - 1) + 1;
  }
  for (const int count : {same_b, same_c, fixed, neighbours}) EXPECT_LT(count, 10);  // 1 is expected of each
}

TEST(Permutation, ValuesNeverChange) {  // a changed order would silently break every resumed run
  std::vector<std::uint64_t> values;
  for (const std::uint64_t n : {10u, 1000u, 1234567u}) {
    for (std::uint64_t i = 0; i < 10; ++i) values.push_back(Permutation(n, 42, 7)(i));
  }
  EXPECT_EQ(hex16(xxh3(values.data(), values.size() * sizeof(values[0]))), "f0cf86a9e07c96e1");
}

}  // namespace
}  // namespace rt::data
