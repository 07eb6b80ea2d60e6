#pragma once
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "rt/core/rng.h"
#include "rt/data/token_writer.h"
#include "tests/data/data_test_util.h"

namespace rt::data {

inline std::vector<std::int32_t> random_ids(std::size_t n, std::uint64_t vocab) {
  std::vector<std::int32_t> ids(n);
  const Rng rng{7, 1};
  for (std::size_t i = 0; i < n; ++i) ids[i] = static_cast<std::int32_t>(rng.below(i, vocab));
  return ids;
}

struct Written {
  std::vector<std::int32_t> ids;
  std::vector<std::uint64_t> starts;
};

// Documents of different lengths, some empty, one spanning several shards.
inline Written write_set(const std::filesystem::path& dir, const Tokenizer& tokenizer, WriterOptions options,
                         const std::vector<std::size_t>& lengths) {
  Written w;
  const std::size_t total = std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
  w.ids = random_ids(total, static_cast<std::uint64_t>(tokenizer.vocab_size()));
  TokenSetWriter writer(dir, tokenizer, options);
  std::size_t at = 0;
  for (const std::size_t n : lengths) {
    writer.begin_document();
    if (n > 0) w.starts.push_back(at);
    const std::size_t half = n / 2;
    writer.append(std::span(w.ids).subspan(at, half));
    writer.append(std::span(w.ids).subspan(at + half, n - half));
    at += n;
  }
  EXPECT_EQ(writer.tokens(), total);
  writer.finish();
  return w;
}

}  // namespace rt::data
