#include "rt/data/token_source.h"

#include "data/hash.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

TEST(TokenSource, FingerprintsFollowContent) {
  const MemoryTokens a({1, 2, 3}, {}, 4), same({1, 2, 3}, {0}, 4), other({1, 2, 0}, {}, 4),
      cut({1, 2, 3}, {0, 2}, 4);
  EXPECT_EQ(a.fingerprint(), same.fingerprint());
  EXPECT_NE(a.fingerprint(), other.fingerprint());
  EXPECT_NE(a.fingerprint(), cut.fingerprint());
  EXPECT_NE(a.fingerprint(), TokenRange(a, 0, 2).fingerprint());
}

TEST(SplitPoint, CutsAtADocumentOrLikeNanoGpt) {
  std::vector<std::int32_t> ids(100, 0);
  const MemoryTokens many(ids, {0, 30, 70, 88, 95}, 1), two(ids, {0, 3}, 1);
  EXPECT_EQ(split_point(many, 0.1), 88u);   // 90 wanted: 88 is nearer than 95
  EXPECT_EQ(split_point(many, 0.07), 95u);  // 93 wanted
  EXPECT_EQ(split_point(many, 0.5), 30u);   // 50 wanted: a tie goes to the earlier one
  EXPECT_EQ(split_point(many, 0.99), 30u);  // never empty
  EXPECT_EQ(split_point(two, 0.1), 3u);
  EXPECT_EQ(split_point(MemoryTokens(ids, {}, 1), 0.25), 75u);
  const MemoryTokens shakespeare(std::vector<std::int32_t>(1115394, 0), {}, 1);
  EXPECT_EQ(split_point(shakespeare, 0.1), 1003854u);  // int(0.9 * n) of nanoGPT's shakespeare_char
  error_of([&] { split_point(many, 0.0); }, Exit::Config);
  error_of([&] { split_point(many, 1.0); }, Exit::Config);
  error_of([&] { split_point(MemoryTokens({0}, {}, 1), 0.5); });
}

TEST(Hash, IsXxh3) {  // the published value for no input: the on-disk format is pinned to the public function
  EXPECT_EQ(hex16(xxh3("")), "2d06800538d394c2");
}

}  // namespace
}  // namespace rt::data
