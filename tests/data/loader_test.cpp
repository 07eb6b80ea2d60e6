#include "rt/data/loader.h"

#include <algorithm>
#include <map>
#include <set>

#include "data/hash.h"
#include "rt/data/permutation.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

// Token i is i, so that a window tells where it came from.
MemoryTokens counting(std::size_t n, std::vector<std::uint64_t> starts = {}) {
  std::vector<std::int32_t> ids(n);
  for (std::size_t i = 0; i < n; ++i) ids[i] = static_cast<std::int32_t>(i);
  return MemoryTokens(std::move(ids), std::move(starts), static_cast<std::int64_t>(n));
}

TEST(Loader, WindowsAreTokensAndTheirSuccessors) {
  const MemoryTokens source = counting(101);
  const Loader loader(source, {.seq_len = 10, .global_sequences = 4, .micro_sequences = 2, .seed = 5});
  EXPECT_EQ(loader.rows(), 10u);
  EXPECT_EQ(loader.micro_batches(), 2);
  for (std::uint64_t step = 0; step < 6; ++step) {
    for (int micro = 0; micro < 2; ++micro) {
      const Batch b = loader.at(step, micro);
      EXPECT_EQ(b.B, 2);
      EXPECT_EQ(b.T, 10);
      EXPECT_EQ(b.predictions, 20u);
      EXPECT_TRUE(b.reset.empty());
      EXPECT_EQ(b.first_sample, step * 4 + static_cast<std::uint64_t>(micro) * 2);
      for (std::size_t row = 0; row < 2; ++row) {
        EXPECT_EQ(b.tokens[row * 10],
                  static_cast<std::int32_t>(10 * loader.place_of(b.first_sample + row).row));
        for (std::size_t t = 0; t < 10; ++t) {
          EXPECT_EQ(b.tokens[row * 10 + t], b.tokens[row * 10] + static_cast<std::int32_t>(t));
          EXPECT_EQ(b.targets[row * 10 + t], b.tokens[row * 10 + t] + 1);
        }
      }
    }
  }
}

TEST(Loader, EachWindowOncePerEpochAcrossEpochBorders) {
  const MemoryTokens source = counting(171);
  for (const Order order : {Order::Shuffled, Order::Sequential}) {
    // 17 windows in steps of 3: epochs end in the middle of a step.
    const Loader loader(
        source, {.seq_len = 10, .global_sequences = 3, .micro_sequences = 1, .seed = 1, .order = order});
    ASSERT_EQ(loader.rows(), 17u);
    std::vector<std::int32_t> firsts;
    for (std::uint64_t step = 0; step < 34; ++step) {
      for (int micro = 0; micro < 3; ++micro) firsts.push_back(loader.at(step, micro).tokens[0] / 10);
    }
    std::set<std::vector<std::int32_t>> orders;
    for (std::size_t epoch = 0; epoch < 6; ++epoch) {
      std::vector<std::int32_t> seen(firsts.begin() + static_cast<std::ptrdiff_t>(17 * epoch),
                                     firsts.begin() + static_cast<std::ptrdiff_t>(17 * epoch + 17));
      orders.insert(seen);
      if (order == Order::Sequential) { EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end())); }
      std::sort(seen.begin(), seen.end());
      for (std::int32_t w = 0; w < 17; ++w) EXPECT_EQ(seen[static_cast<std::size_t>(w)], w);
    }
    EXPECT_EQ(orders.size(), order == Order::Sequential ? 1u : 6u);
  }
}

TEST(Loader, OrderDoesNotDependOnTheMicroBatchOrOnWhereOneStarts) {
  const MemoryTokens source = counting(997, {0, 13, 500, 501});
  LoaderOptions options{
      .seq_len = 7, .global_sequences = 12, .micro_sequences = 12, .seed = 3, .document_resets = true};
  const Loader whole(source, options);
  for (const std::int64_t micro : {1, 2, 3, 4, 6}) {
    options.micro_sequences = micro;
    const Loader split(source, options);
    EXPECT_EQ(split.fingerprint(), whole.fingerprint());
    for (std::uint64_t step = 30; step-- > 0;) {  // backwards: any step can be asked for first
      Batch joined, part;
      for (int m = 0; m < split.micro_batches(); ++m) {
        split.at(step, m, part);
        joined.tokens.insert(joined.tokens.end(), part.tokens.begin(), part.tokens.end());
        joined.targets.insert(joined.targets.end(), part.targets.begin(), part.targets.end());
        joined.reset.insert(joined.reset.end(), part.reset.begin(), part.reset.end());
      }
      const Batch expected = whole.at(step, 0);
      EXPECT_EQ(joined.tokens, expected.tokens);
      EXPECT_EQ(joined.targets, expected.targets);
      EXPECT_EQ(joined.reset, expected.reset);
    }
  }
}

TEST(Loader, ResumesAtEverySample) {
  const MemoryTokens source = counting(331);
  const LoaderOptions options{.seq_len = 6, .global_sequences = 1, .micro_sequences = 1, .seed = 8};
  std::vector<std::vector<std::int32_t>> through;
  const Loader first(source, options);
  for (std::uint64_t i = 0; i < 170; ++i)
    through.push_back(first.at(i, 0).tokens);  // three epochs of 55 and a bit
  for (std::uint64_t start = 0; start < 170; ++start) {
    const Loader resumed(source, options);
    EXPECT_EQ(resumed.at(start, 0).tokens, through[start]);
  }
  EXPECT_DOUBLE_EQ(first.epochs_at(110)[0], 2.0);
  const std::uint64_t far = std::uint64_t{1} << 50;  // O(1), and no 32-bit arithmetic on the way
  EXPECT_EQ(first.at(far, 0).tokens[0] / 6,
            static_cast<std::int32_t>(Permutation(55, 8, far / 55)(far % 55)));
}

// More tokens than any 32-bit offset reaches; token i is i modulo a prime.
class HugeSource final : public TokenSource {
 public:
  static constexpr std::uint64_t kPrime = 999983;
  std::string name() const override { return "huge"; }
  std::uint64_t size() const override { return (std::uint64_t{1} << 41) + 5; }
  std::int64_t vocab_size() const override { return kPrime; }
  std::uint64_t tokenizer_fingerprint() const override { return 0; }
  std::uint64_t fingerprint() const override { return 0; }
  void read(std::uint64_t offset, std::size_t n, std::int32_t* out) const override {
    ASSERT_LE(offset + n, size());
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::int32_t>((offset + i) % kPrime);
  }
  std::uint64_t next_document(std::uint64_t from) const override { return (from + 99) / 100 * 100; }
  std::uint64_t previous_document(std::uint64_t at) const override { return at / 100 * 100; }
};

TEST(Loader, OffsetsAre64Bit) {
  const HugeSource source;
  const Loader loader(source, {.seq_len = 3, .global_sequences = 1, .seed = 1, .document_resets = true});
  EXPECT_EQ(loader.rows(), ((std::uint64_t{1} << 41) + 4) / 3);
  std::uint64_t highest = 0;
  for (std::uint64_t step = 0; step < 200; ++step) {
    const std::uint64_t begin = 3 * loader.place_of(step).row;
    const Batch b = loader.at(step, 0);
    for (std::size_t t = 0; t < 3; ++t) {
      EXPECT_EQ(b.tokens[t], static_cast<std::int32_t>((begin + t) % HugeSource::kPrime));
      EXPECT_EQ(b.reset[t], (begin + t) % 100 == 0);
    }
    highest = std::max(highest, begin);
  }
  EXPECT_GT(highest, std::uint64_t{1} << 40);
  const EvalLoader eval(source, 1024, 4, false);
  const Batch last = eval.at(eval.batches() - 1);
  EXPECT_EQ(last.predictions, (source.size() - 1) % 4096);
  EXPECT_EQ(last.targets[0], static_cast<std::int32_t>((last.first_sample * 1024 + 1) % HugeSource::kPrime));
}

TEST(Loader, TheEndOfAHugeSource) {
  const HugeSource huge;
  const MemoryTokens small = counting(1001);
  const auto expect_row = [](const Batch& b, std::uint64_t row) {
    for (std::uint64_t t = 0; t < 8; ++t) {
      ASSERT_EQ(b.tokens[t], static_cast<std::int32_t>((row * 8 + t) % HugeSource::kPrime));
      ASSERT_EQ(b.targets[t], static_cast<std::int32_t>((row * 8 + t + 1) % HugeSource::kPrime));
    }
  };
  const std::uint64_t windows = std::uint64_t{1} << 38;
  LoaderOptions options{.seq_len = 8, .seed = 3, .order = Order::Sequential};
  const Loader sequential(huge, options);
  ASSERT_EQ(sequential.rows(), windows);
  expect_row(sequential.at(windows - 1, 0), windows - 1);
  expect_row(sequential.at(windows, 0), 0);  // the next epoch
  const Loader mixed({{&small, 1, 0}, {&huge, 2, 0}}, options);
  const std::uint64_t last = mixed.place_of(3 * (windows / 2) - 1).source == 1 ? 1 : 2;
  const Loader::Place place = mixed.place_of(3 * (windows / 2) - last);
  EXPECT_EQ(place.source, 1u);
  EXPECT_EQ(place.row, windows - 1);
  expect_row(mixed.at(3 * (windows / 2) - last, 0), windows - 1);
  options.order = Order::MagicPrime;
  const Loader magic(huge, options);
  std::uint64_t highest = 0;
  for (std::uint64_t step = 0; step < 200; ++step) {
    const std::uint64_t row = magic.place_of(step).row;
    expect_row(magic.at(step, 0), row);
    highest = std::max(highest, row);
  }
  EXPECT_GT(highest, windows / 2);
  options.order = Order::Streams;
  options.global_sequences = options.micro_sequences = 4;
  expect_row(Loader(huge, options).at(windows / 4 - 1, 0), windows / 4 - 1);
}

TEST(Loader, ResetMarksDocumentStarts) {
  const MemoryTokens source = counting(41, {0, 3, 10, 11, 25});
  const Loader loader(
      source, {.seq_len = 10, .global_sequences = 1, .order = Order::Sequential, .document_resets = true});
  const std::set<std::int32_t> starts{0, 3, 10, 11, 25};
  for (std::uint64_t step = 0; step < 4; ++step) {
    const Batch b = loader.at(step, 0);
    ASSERT_EQ(b.reset.size(), 10u);
    for (std::size_t t = 0; t < 10; ++t) EXPECT_EQ(b.reset[t], starts.count(b.tokens[t]));
  }
}

TEST(Loader, SmallestDataAndTooLittleData) {
  const MemoryTokens enough = counting(9), little = counting(8);
  const LoaderOptions options{.seq_len = 8};
  EXPECT_EQ(Loader(enough, options).rows(), 1u);
  EXPECT_EQ(Loader(enough, options).at(5, 0).targets.back(), 8);
  const std::string what = error_of([&] { Loader loader(little, options); });
  expect_contains(what, "8 tokens are fewer than one window of seq_len + 1 = 9");
  error_of([&] { Loader loader(MemoryTokens({}, {}, 1), options); });
  error_of([&] { Loader loader(enough, {.seq_len = 0}); }, Exit::Config);
  error_of([&] { Loader loader(enough, {.seq_len = 2, .global_sequences = 3, .micro_sequences = 2}); },
           Exit::Config);
  error_of([&] { Loader(enough, options).at(0, 1); }, Exit::Failure);
}

TEST(Loader, FingerprintFollowsWhatChangesTheSamples) {
  const MemoryTokens source = counting(100), other = counting(99);
  const LoaderOptions base{.seq_len = 8, .seed = 1};
  LoaderOptions seed = base, length = base, order = base;
  seed.seed = 2;
  length.seq_len = 9;
  order.order = Order::Sequential;
  const std::uint64_t value = Loader(source, base).fingerprint();
  EXPECT_EQ(value, Loader(counting(100), base).fingerprint());
  for (const LoaderOptions& o : {seed, length, order}) EXPECT_NE(value, Loader(source, o).fingerprint());
  EXPECT_NE(value, Loader(other, base).fingerprint());
}

TEST(Loader, FingerprintOfPlainOptionsNeverChanges) {  // runs from before there were mixtures go on
  const MemoryTokens source = counting(100);
  const LoaderOptions shuffled{.seq_len = 8, .seed = 1, .document_resets = true};
  const LoaderOptions sequential{.seq_len = 8, .seed = 1, .order = Order::Sequential};
  EXPECT_EQ(hex16(Loader(source, shuffled).fingerprint()), "1619fec349a56f03");
  EXPECT_EQ(hex16(Loader(source, sequential).fingerprint()), "d6561097ecd3c3b8");
}

TEST(EvalLoader, PredictsEveryTokenOnceAndPadsTheRest) {
  for (std::size_t n = 2; n < 40; ++n) {
    const MemoryTokens source = counting(n, {0, 1});
    const EvalLoader eval(source, 5, 3, true);
    EXPECT_EQ(eval.predictions(), n - 1);
    std::int32_t next = 1;
    std::uint64_t predictions = 0;
    for (std::uint64_t i = 0; i < eval.batches(); ++i) {
      const Batch b = eval.at(i);
      ASSERT_EQ(b.tokens.size(), 15u);
      ASSERT_EQ(b.reset.size(), 15u);
      predictions += b.predictions;
      for (std::size_t c = 0; c < 15; ++c) {
        if (next < static_cast<std::int32_t>(n)) {
          EXPECT_EQ(b.targets[c], next);
          EXPECT_EQ(b.tokens[c], next - 1);
          EXPECT_EQ(b.reset[c], next <= 2);
          ++next;
        } else {
          EXPECT_EQ(b.targets[c], kIgnoreTarget);
          EXPECT_EQ(b.tokens[c], 0);
        }
      }
    }
    EXPECT_EQ(predictions, n - 1);
    EXPECT_EQ(next, static_cast<std::int32_t>(n));
  }
}

TEST(EvalLoader, LimitAndErrors) {
  const MemoryTokens source = counting(100), one = counting(1);
  const EvalLoader eval(source, 10, 2, false, 33);
  EXPECT_EQ(eval.predictions(), 33u);
  EXPECT_EQ(eval.batches(), 2u);
  EXPECT_EQ(eval.at(1).predictions, 13u);
  error_of([&] { EvalLoader bad(one, 10, 2, false); });
  error_of([&] { EvalLoader bad(source, 0, 2, false); }, Exit::Config);
  error_of([&] { eval.at(2); }, Exit::Failure);
}

}  // namespace
}  // namespace rt::data
