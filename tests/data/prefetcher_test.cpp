#include "rt/data/prefetcher.h"

#include <atomic>
#include <chrono>

#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

// Slow or failing at wish.
class OddSource final : public TokenSource {
 public:
  std::string name() const override { return "odd"; }
  std::uint64_t size() const override { return 1001; }
  std::int64_t vocab_size() const override { return 1001; }
  std::uint64_t tokenizer_fingerprint() const override { return 0; }
  std::uint64_t fingerprint() const override { return 0; }
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const override {
    ++reads;
    if (fail_from < offset + n) fail(Exit::Data, "odd: broken at {}", offset);
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::int32_t>(offset + i);
  }
  std::uint64_t next_document(std::uint64_t from) const override { return from == 0 ? 0 : size(); }
  std::uint64_t previous_document(std::uint64_t) const override { return 0; }
  mutable std::atomic<int> reads{0};
  std::atomic<std::uint64_t> fail_from{~std::uint64_t{0}};
  int delay_ms = 0;
};

LoaderOptions options_of(Order order = Order::Shuffled) {
  return {.seq_len = 10, .global_sequences = 4, .micro_sequences = 1, .seed = 2, .order = order};
}

TEST(Prefetcher, EqualsDirectCalls) {
  const OddSource source;
  const Loader loader(source, options_of());
  for (const std::size_t depth : {1u, 2u, 5u}) {
    Prefetcher prefetcher(loader, 7, depth);
    for (std::uint64_t step = 7; step < 60; ++step) {
      for (int micro = 0; micro < 4; ++micro) {
        Batch b = prefetcher.next();
        EXPECT_EQ(b.step, step);
        EXPECT_EQ(b.micro, micro);
        EXPECT_EQ(b.tokens, loader.at(step, micro).tokens);
        EXPECT_EQ(b.targets, loader.at(step, micro).targets);
        prefetcher.recycle(std::move(b));
      }
    }
  }
}

TEST(Prefetcher, ServesTheShareOfOneRank) {
  const OddSource source;
  const Loader loader(source, options_of());
  Prefetcher prefetcher(loader, 0, 1, 3);
  for (std::uint64_t step = 0; step < 5; ++step) {
    EXPECT_EQ(prefetcher.next().tokens, loader.at(step, 1).tokens);
  }
  Prefetcher first(loader, 0, 0, 3);
  for (std::uint64_t step = 0; step < 5; ++step) {
    EXPECT_EQ(first.next().tokens, loader.at(step, 0).tokens);
    EXPECT_EQ(first.next().tokens, loader.at(step, 3).tokens);
  }
  EXPECT_THROW(Prefetcher(loader, 0, 3, 3), Error);
  EXPECT_THROW(Prefetcher(loader, 0, 4, 5), Error);  // has no micro-batch
}

TEST(Prefetcher, SeeksAnywhereAtAnyTime) {
  OddSource source;
  source.delay_ms = 1;  // so that a seek often meets a batch in the making
  const Loader loader(source, options_of());
  Prefetcher prefetcher(loader, 0);
  for (const std::uint64_t step : {3u, 100u, 0u, 0u, 77u, 5u}) {
    prefetcher.seek(step);
    for (int micro = 0; micro < 4; ++micro) {
      const Batch b = prefetcher.next();
      EXPECT_EQ(b.step, step);
      EXPECT_EQ(b.tokens, loader.at(step, micro).tokens);
    }
  }
}

TEST(Prefetcher, IsBounded) {
  const OddSource source;
  const Loader loader(source, options_of());
  const Prefetcher prefetcher(loader, 0, 3);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_LE(source.reads, 2 * 3);  // two reads per row
}

TEST(Prefetcher, ReportsTheTimeWaited) {
  OddSource source;
  source.delay_ms = 20;
  const Loader loader(source, options_of());
  Prefetcher prefetcher(loader, 0);
  EXPECT_EQ(prefetcher.wait_seconds(), 0.0);
  prefetcher.next();
  EXPECT_GT(prefetcher.wait_seconds(), 0.01);
}

TEST(Prefetcher, PassesErrorsOnAfterTheGoodBatchesAndSurvivesThem) {
  OddSource source;
  source.fail_from = 35;
  const Loader loader(source, options_of(Order::Sequential));
  Prefetcher prefetcher(loader, 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(prefetcher.next().tokens[0], 10 * i);
  expect_contains(error_of([&] { prefetcher.next(); }), "odd: broken at 30");
  error_of([&] { prefetcher.next(); });
  source.fail_from = ~std::uint64_t{0};
  prefetcher.seek(0);
  EXPECT_EQ(prefetcher.next().tokens[0], 0);
}

TEST(Prefetcher, ShutsDownWithoutBeingRead) {
  const OddSource source;
  const Loader loader(source, options_of());
  for (int i = 0; i < 20; ++i) const Prefetcher prefetcher(loader, static_cast<std::uint64_t>(i));
}

}  // namespace
}  // namespace rt::data
