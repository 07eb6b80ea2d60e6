#include "rt/data/loader.h"
#include "rt/data/loss_mask.h"
#include "tests/data/masked_set_util.h"

namespace rt::data {
namespace {

TEST(MaskedLoader, IgnoresTheTargetsThatAreNotTrained) {
  const TempDir temp;
  const Masked written = write_masked(temp / "a", 2500, 70);
  const TokenSet set(temp / "a");
  const MaskedTokens tokens(set);
  for (const Packing packing : {Packing::Concat, Packing::Pack, Packing::Pad}) {
    const LoaderOptions options{.seq_len = 64, .order = Order::Sequential, .packing = packing};
    const Loader masked(tokens, options), plain(set, options);
    EXPECT_NE(masked.fingerprint(), plain.fingerprint());
    std::uint64_t trained = 0;
    for (std::uint64_t i = 0; i < plain.rows(); ++i) {
      const Batch with = masked.at(i, 0), without = plain.at(i, 0);
      ASSERT_EQ(with.tokens, without.tokens);
      std::uint64_t here = 0;
      for (std::size_t t = 0; t < 64; ++t) {
        here += with.targets[t] != kIgnoreTarget;
        if (with.targets[t] != kIgnoreTarget) { ASSERT_EQ(with.targets[t], without.targets[t]); }
      }
      ASSERT_EQ(with.predictions, here);
      trained += here;
    }
    // What a row predicts: all but each document's first token, and in windows all of the first 39 x 64.
    std::uint64_t expected = 0;
    for (std::size_t i = 1; i < written.bits.size(); ++i) {
      if (packing == Packing::Concat ? i <= 39 * 64 : i % 70 != 0) expected += written.bits[i];
    }
    EXPECT_EQ(trained, expected);
  }
  std::uint64_t predictions = 0, marked = 0;
  const EvalLoader eval(tokens, 64, 2, false);
  for (std::uint64_t i = 0; i < eval.batches(); ++i) predictions += eval.at(i).predictions;
  for (std::size_t i = 1; i < written.bits.size(); ++i) marked += written.bits[i];
  EXPECT_EQ(predictions, marked);
}

}  // namespace
}  // namespace rt::data
