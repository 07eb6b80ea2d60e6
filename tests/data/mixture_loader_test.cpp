// Loaders of several sources, of several row lengths, and for several ranks.
#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "data/hash.h"
#include "rt/data/loader.h"
#include "rt/data/prefetcher.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

// Token i is first + i, so that a row tells where it came from.
MemoryTokens counting(std::size_t n, std::int32_t first) {
  std::vector<std::int32_t> ids(n);
  for (std::size_t i = 0; i < n; ++i) ids[i] = first + static_cast<std::int32_t>(i);
  return MemoryTokens(std::move(ids), {0, n / 3}, 100000);
}

struct Three {
  MemoryTokens a = counting(331, 0), b = counting(97, 10000), c = counting(61, 20000);
  std::vector<LoaderSource> sources(double most = 0) const {
    return {{&a, 0.5, 0}, {&b, 0.3, most}, {&c, 0.2, 0}};
  }
};

std::vector<std::int32_t> tokens_at(const Loader& loader, std::uint64_t step) {
  std::vector<std::int32_t> all;
  for (int m = 0; m < loader.micro_batches(); ++m) {
    const Batch b = loader.at(step, m);
    all.insert(all.end(), b.tokens.begin(), b.tokens.end());
    all.insert(all.end(), b.targets.begin(), b.targets.end());
  }
  return all;
}

TEST(MixtureLoader, SourcesComeByWeightEachInItsOwnEpochs) {
  const Three data;
  const Loader loader(data.sources(), {.seq_len = 6, .seed = 4});
  const std::uint64_t rows[] = {55, 16, 10};
  std::vector<std::vector<std::int32_t>> seen(3);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::int32_t first = loader.at(i, 0).tokens[0];
    seen[static_cast<std::size_t>(first / 10000)].push_back(first % 10000 / 6);
  }
  EXPECT_EQ(seen[0].size(), 500u);
  EXPECT_EQ(seen[1].size(), 300u);
  EXPECT_EQ(seen[2].size(), 200u);
  for (std::size_t j = 0; j < 3; ++j) {
    EXPECT_EQ(loader.rows(j), rows[j]);
    std::set<std::vector<std::int32_t>> orders;
    for (std::size_t e = 0; (e + 1) * rows[j] <= seen[j].size(); ++e) {
      std::vector<std::int32_t> epoch(seen[j].begin() + static_cast<std::ptrdiff_t>(e * rows[j]),
                                      seen[j].begin() + static_cast<std::ptrdiff_t>((e + 1) * rows[j]));
      orders.insert(epoch);
      std::sort(epoch.begin(), epoch.end());
      for (std::size_t w = 0; w < rows[j]; ++w) ASSERT_EQ(epoch[w], static_cast<std::int32_t>(w));
    }
    EXPECT_EQ(orders.size(), seen[j].size() / rows[j]) << "every epoch has its own order";
  }
  EXPECT_NE(Loader({{&data.b}, {&data.b}}, {.seq_len = 6}).place_of(0).row,
            Loader({{&data.b}, {&data.b}}, {.seq_len = 6}).place_of(1).row)
      << "each source has its own";
  const auto epochs = loader.epochs_at(1000);
  EXPECT_DOUBLE_EQ(epochs[0], 500.0 / 55);
  EXPECT_DOUBLE_EQ(epochs[2], 20.0);
}

TEST(MixtureLoader, ResumesAtEverySampleOfThreeEpochs) {
  const Three data;
  const LoaderOptions options{.seq_len = 6, .seed = 8, .document_resets = true};
  const Loader through(data.sources(2.5), options);
  const std::uint64_t end = 3 * 55 * 2 + 7;  // three epochs of the largest source
  ASSERT_GE(through.epochs_at(end)[0], 3.0);
  std::vector<std::vector<std::int32_t>> expected;
  for (std::uint64_t i = 0; i < end; ++i) expected.push_back(tokens_at(through, i));
  for (std::uint64_t start = 0; start < end; ++start) {
    const Loader resumed(data.sources(2.5), options);
    ASSERT_EQ(resumed.fingerprint(), through.fingerprint());
    for (std::uint64_t i = start; i < std::min(end, start + 3); ++i)
      ASSERT_EQ(tokens_at(resumed, i), expected[i]) << "started at " << start;
  }
}

// Every rank makes its share of the micro-batches by its own prefetcher, across the borders of epochs.
TEST(MixtureLoader, RanksSeeOneSequenceHoweverManyTheyAre) {
  const Three data;
  std::set<std::string> hashes;
  for (const int ranks : {1, 2, 4, 8}) {
    for (const std::int64_t micro : {1, 2, 4}) {
      if (16 / micro % ranks != 0) continue;
      const Loader loader(data.sources(3), {.seq_len = 5,
                                            .global_sequences = 16,
                                            .micro_sequences = micro,
                                            .seed = 2,
                                            .document_resets = true});
      const int share = loader.micro_batches() / ranks;
      std::vector<std::unique_ptr<Prefetcher>> rank;
      for (int r = 0; r < ranks; ++r) rank.push_back(std::make_unique<Prefetcher>(loader, 0, r, ranks, 3));
      std::vector<std::int32_t> rows;  // of every sample its tokens, targets and resets
      std::uint64_t sample = 0;
      for (std::uint64_t step = 0; step < 24; ++step) {
        for (int m = 0; m < share; ++m) {
          for (const auto& one : rank) {
            const Batch b = one->next();
            ASSERT_EQ(b.first_sample, sample);
            sample += static_cast<std::uint64_t>(b.B);
            for (std::ptrdiff_t row = 0; row < 5 * b.B; row += 5) {
              rows.insert(rows.end(), b.tokens.begin() + row, b.tokens.begin() + row + 5);
              rows.insert(rows.end(), b.targets.begin() + row, b.targets.begin() + row + 5);
              rows.insert(rows.end(), b.reset.begin() + row, b.reset.begin() + row + 5);
            }
          }
        }
      }
      EXPECT_GT(loader.epochs_at(24)[0], 2.0);
      hashes.insert(hex16(xxh3(rows.data(), rows.size() * sizeof(rows[0]))));
    }
  }
  EXPECT_EQ(hashes.size(), 1u);
}

TEST(MixtureLoader, EpochsMaxHandsOverAndThenEnds) {
  const Three data;
  const std::vector<LoaderSource> limited{{&data.a, 1, 1}, {&data.b, 3, 2}, {&data.c, 1, 0.5}};
  const Loader loader(limited, {.seq_len = 6, .global_sequences = 4, .micro_sequences = 2, .seed = 1});
  ASSERT_EQ(loader.steps(), (55u + 32 + 5) / 4);
  std::map<std::int32_t, int> seen;
  for (std::uint64_t step = 0; step < loader.steps(); ++step) {
    for (int m = 0; m < 2; ++m) {
      const Batch b = loader.at(step, m);
      ++seen[b.tokens[0]];
      ++seen[b.tokens[6]];
    }
  }
  int a = 0, b = 0, c = 0;
  for (const auto& [first, times] : seen) {
    EXPECT_EQ(times, first / 10000 == 1 ? 2 : 1) << first;
    a += first < 10000 ? times : 0;
    b += first / 10000 == 1 ? times : 0;
    c += first >= 20000 ? times : 0;
  }
  EXPECT_EQ(a, 55);
  EXPECT_EQ(b, 32);
  EXPECT_EQ(c, 5);
  expect_contains(error_of([&] { loader.at(loader.steps(), 0); }), "read epochs_max times by step 23");
  EXPECT_EQ(Loader(data.sources(2), {.seq_len = 6}).steps(), Mixture::kNoLimit);
}

TEST(MixtureLoader, FingerprintFollowsTheMixture) {
  const Three data;
  const LoaderOptions options{.seq_len = 6, .seed = 1};
  const auto base = data.sources();
  const std::uint64_t value = Loader(base, options).fingerprint();
  EXPECT_EQ(value, Loader(data.sources(), options).fingerprint());
  auto weight = base, limit = base, swapped = base, fewer = base;
  weight[1].weight = 0.31;
  limit[2].epochs_max = 3;
  std::swap(swapped[0], swapped[2]);
  fewer.pop_back();
  std::set<std::uint64_t> values{value};
  for (const auto& sources : {weight, limit, swapped, fewer})
    EXPECT_TRUE(values.insert(Loader(sources, options).fingerprint()).second);
  LoaderOptions packed = options, padded = options, shorter = options, later = options;
  packed.packing = Packing::Pack;
  padded.packing = Packing::Pad;
  shorter.curriculum = {{4, 3}};
  later.curriculum = {{5, 3}};
  for (const LoaderOptions& o : {packed, padded, shorter, later})
    EXPECT_TRUE(values.insert(Loader(base, o).fingerprint()).second);
}

TEST(MixtureLoader, CurriculumKeepsTheTokensOfAStepAndThePlaceInTheData) {
  const MemoryTokens source = counting(24 * 40 + 1, 0);
  const LoaderOptions options{.seq_len = 24,
                              .global_sequences = 2,
                              .micro_sequences = 1,
                              .seed = 6,
                              .order = Order::Sequential,
                              .curriculum = {{5, 6}, {8, 12}}};
  const Loader loader(source, options);
  std::uint64_t sample = 0;
  std::int32_t next = 0;
  for (std::uint64_t step = 0; step < 15; ++step) {
    const std::int64_t T = step < 5 ? 6 : step < 8 ? 12 : 24;
    for (int m = 0; m < 2; ++m) {
      const Batch b = loader.at(step, m);
      ASSERT_EQ(b.T, T);
      ASSERT_EQ(b.B * b.T, 24);
      ASSERT_EQ(b.first_sample, sample);
      sample += static_cast<std::uint64_t>(b.B);
      for (const std::int32_t token : b.tokens) ASSERT_EQ(token, next++ % 960);
    }
  }
  EXPECT_DOUBLE_EQ(loader.epochs_at(15)[0], 15.0 * 48 / 960);
}

TEST(MixtureLoader, CurriculumOfAMixtureEndsAtEpochsMax) {
  const Three data;
  LoaderOptions options{.seq_len = 12, .global_sequences = 2, .seed = 6};
  options.curriculum = {{10, 6}};
  const Loader loader({{&data.a, 1, 2}, {&data.b, 1, 1}}, options);
  // 40 rows of 6: 24 of a's 2 x 55, all 16 of b. Then a's other 2 - 24 / 55 epochs, of 27 rows of 12.
  EXPECT_EQ(loader.epochs_at(10), (std::vector<double>{12.0 / 27, 1.0}));
  EXPECT_EQ(loader.steps(), 10u + (54 - 12) / 2);
  for (std::uint64_t step = 0; step < loader.steps(); ++step) loader.at(step, 0);
  EXPECT_EQ(loader.epochs_at(loader.steps())[0], 2.0);
}

TEST(MixtureLoader, StreamsReadOnWhereTheyStopped) {
  const MemoryTokens source = counting(10 * 17 + 5, 0);  // 17 windows: 4 streams of 4, one window left out
  LoaderOptions options{.seq_len = 10, .global_sequences = 4, .micro_sequences = 4, .order = Order::Streams};
  const Loader loader(source, options);
  Batch before;
  for (std::uint64_t step = 0; step < 12; ++step) {
    const Batch b = loader.at(step, 0);
    EXPECT_EQ(b.continues, step % 4 != 0);
    for (std::size_t row = 0; row < 4; ++row) {
      const std::int32_t first = b.tokens[10 * row];
      if (b.continues) {
        EXPECT_EQ(first, before.targets[10 * row + 9]);
      } else {
        EXPECT_EQ(first, static_cast<std::int32_t>(40 * row));
      }
    }
    before = b;
  }
  options.micro_sequences = 1;
  const Loader split(source, options);
  EXPECT_EQ(tokens_at(split, 7).size(), tokens_at(loader, 7).size());
  for (int m = 0; m < 4; ++m)
    EXPECT_EQ(split.at(7, m).tokens[0], loader.at(7, 0).tokens[static_cast<std::size_t>(10 * m)]);
  options.global_sequences = 18;
  expect_contains(error_of([&] { Loader bad(source, options); }), "17 windows are too few for 18 sequences");
}

}  // namespace
}  // namespace rt::data
