#include <algorithm>
#include <map>

#include "rt/core/parallel.h"
#include "rt/core/rng.h"
#include "rt/data/loader.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

constexpr std::int32_t kVocab = 1 << 24;

// Token i is i + 1, in documents of these lengths; 0 is what padding shows.
MemoryTokens documents(const std::vector<std::size_t>& lengths) {
  std::vector<std::uint64_t> starts;
  std::size_t n = 0;
  for (const std::size_t length : lengths) {
    starts.push_back(n);
    n += length;
  }
  std::vector<std::int32_t> ids(n);
  for (std::size_t i = 0; i < n; ++i) ids[i] = static_cast<std::int32_t>(i + 1);
  return MemoryTokens(std::move(ids), std::move(starts), kVocab);
}

LoaderOptions options_for(Packing packing, std::int64_t T, Order order = Order::Sequential) {
  return {.seq_len = T, .order = order, .document_resets = true, .packing = packing};
}

// Every prediction inside a document once per epoch, none across two; resets where a piece starts; what is
// left of a row is padding.
void expect_exact(const std::vector<std::size_t>& lengths, Packing packing, std::int64_t T, Order order) {
  const MemoryTokens source = documents(lengths);
  const Loader loader(source, options_for(packing, T, order));
  std::vector<int> predicted(source.size() + 1, 0);
  for (std::uint64_t i = 0; i < loader.rows(); ++i) {
    const Batch b = loader.at(i, 0);
    std::uint64_t counted = 0;
    for (std::size_t t = 0; t < static_cast<std::size_t>(T); ++t) {
      if (b.targets[t] == kIgnoreTarget) {
        ASSERT_EQ(b.tokens[t], 0);
        ASSERT_TRUE(t + 1 == static_cast<std::size_t>(T) || b.targets[t + 1] == kIgnoreTarget);
        continue;
      }
      ++counted;
      ASSERT_EQ(b.targets[t], b.tokens[t] + 1);
      ++predicted[static_cast<std::size_t>(b.tokens[t])];
      const bool goes_on = t > 0 && b.tokens[t] == b.tokens[t - 1] + 1;
      ASSERT_EQ(b.reset[t], goes_on ? 0 : 1);
    }
    ASSERT_EQ(b.predictions, counted);
    ASSERT_GT(counted, 0u);
  }
  std::uint64_t at = 1;
  for (const std::size_t length : lengths) {
    for (std::size_t t = 0; t < length; ++t, ++at) ASSERT_EQ(predicted[at], t + 1 < length ? 1 : 0) << at;
  }
}

std::vector<std::size_t> random_lengths(std::size_t n, std::uint64_t most, std::uint64_t stream) {
  const Rng rng{11, stream};
  std::vector<std::size_t> lengths(n);
  for (std::size_t i = 0; i < n; ++i) lengths[i] = 1 + rng.below(i, most);
  return lengths;
}

TEST(Packing, EveryPredictionOfADocumentOnce) {
  for (const Packing packing : {Packing::Pack, Packing::Pad}) {
    for (const Order order : {Order::Sequential, Order::Shuffled}) {
      expect_exact({2}, packing, 7, order);
      expect_exact({8, 8, 1, 1, 9}, packing, 7, order);
      expect_exact({100, 3, 15, 2, 1, 64, 65}, packing, 7, order);
      expect_exact(random_lengths(500, 90, 1), packing, 63, order);
      expect_exact(random_lengths(3000, 10, 2), packing, 64, order);
      expect_exact(random_lengths(40, 3000, 3), packing, 130, order);
      expect_exact(random_lengths(50, 40, 4), packing, 1, order);
    }
  }
}

TEST(Packing, BlocksHoldTogetherAndDocumentsMaySpanThem) {
  // A block is 2^18 tokens here; one document is longer than two of them, one ends on a border.
  std::vector<std::size_t> lengths = random_lengths(3000, 150, 5);
  lengths.push_back(600000);
  const auto more = random_lengths(3000, 150, 6);
  lengths.insert(lengths.end(), more.begin(), more.end());
  expect_exact(lengths, Packing::Pack, 130, Order::Sequential);
  expect_exact({(1 << 18), 77, (1 << 18) - 77, 5}, Packing::Pack, 64, Order::Shuffled);
}

TEST(Packing, PadGivesOneDocumentARow) {
  const MemoryTokens source = documents({3, 8, 1, 12});
  const Loader loader(source, options_for(Packing::Pad, 6));
  ASSERT_EQ(loader.rows(), 5u);  // 2, 6 + 1, 0, 6 + 5 predictions
  const std::vector<std::vector<std::int32_t>> expected{{1, 2, 0, 0, 0, 0},
                                                        {4, 5, 6, 7, 8, 9},
                                                        {10, 0, 0, 0, 0, 0},
                                                        {13, 14, 15, 16, 17, 18},
                                                        {19, 20, 21, 22, 23, 0}};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(loader.at(i, 0).tokens, expected[i]);
}

TEST(Packing, BestFitLeavesFewCellsEmpty) {
  const auto lengths = random_lengths(20000, 400, 7);
  const MemoryTokens source = documents(lengths);
  const Loader packed(source, options_for(Packing::Pack, 512)),
      padded(source, options_for(Packing::Pad, 512));
  std::uint64_t predictions = 0;
  for (const std::size_t length : lengths) predictions += length - 1;
  EXPECT_GT(static_cast<double>(predictions), 0.99 * static_cast<double>(packed.rows() * 512));
  EXPECT_LT(static_cast<double>(predictions), 0.5 * static_cast<double>(padded.rows() * 512));
}

TEST(Packing, BestFitPutsAPieceWhereItLeavesTheLeastRoom) {
  // Predictions 6, 5, 4, 3, 2: of rows of 10 holding 6 and 5, the 4 goes to the 6, the 3 to the 5, as does 2.
  const MemoryTokens source = documents({3, 4, 5, 6, 7});
  const Loader loader(source, options_for(Packing::Pack, 10));
  ASSERT_EQ(loader.rows(), 2u);
  EXPECT_EQ(loader.at(0, 0).tokens, (std::vector<std::int32_t>{1, 2, 4, 5, 6, 13, 14, 15, 16, 17}));
  EXPECT_EQ(loader.at(1, 0).tokens, (std::vector<std::int32_t>{8, 9, 10, 11, 19, 20, 21, 22, 23, 24}));
}

TEST(Packing, PlanDoesNotDependOnThreads) {
  const MemoryTokens source = documents(random_lengths(20000, 300, 8));
  std::vector<std::vector<std::int32_t>> tokens;
  for (const int threads : {1, 2, 5}) {
    const int before = num_threads();
    set_num_threads(threads);
    const Loader loader(source, options_for(Packing::Pack, 512, Order::Shuffled));
    set_num_threads(before);
    std::vector<std::int32_t> all;
    for (std::uint64_t i = 0; i < 300; ++i) {
      const Batch b = loader.at(i, 0);
      all.insert(all.end(), b.tokens.begin(), b.tokens.end());
    }
    tokens.push_back(std::move(all));
  }
  EXPECT_EQ(tokens[0], tokens[1]);
  EXPECT_EQ(tokens[0], tokens[2]);
}

TEST(Packing, WeightsAreOfPredictions) {
  const MemoryTokens full = documents(std::vector<std::size_t>(40, 65)),  // 64 of 64 cells
      quarter = documents(std::vector<std::size_t>(100, 17));             // 16 of 64
  const Loader loader({{&full, 1, 0}, {&quarter, 1, 0}}, options_for(Packing::Pad, 64, Order::Shuffled));
  std::map<bool, std::uint64_t> predictions;
  for (std::uint64_t i = 0; i < 500; ++i) {
    const Batch b = loader.at(i, 0);
    predictions[b.predictions == 64] += b.predictions;
  }
  EXPECT_EQ(predictions[true], predictions[false]);
}

TEST(Packing, NothingToPredictIsAnError) {
  const MemoryTokens single = documents({1, 1, 1});
  expect_contains(error_of([&] { Loader bad(single, options_for(Packing::Pack, 8)); }),
                  "memory: 3 tokens, but no document of two");
  error_of([&] { Loader bad(MemoryTokens({}, {}, 1), options_for(Packing::Pad, 8)); });
}

}  // namespace
}  // namespace rt::data
