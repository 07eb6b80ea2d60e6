#include "rt/core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace rt {
namespace {

TEST(ParallelFor, CallsEveryPieceOnce) {
  for (const int threads : {1, 2, 5}) {
    set_num_threads(threads);
    for (const std::int64_t n : {0, 1, 7, 64, 1000}) {
      for (const std::int64_t grain : {1, 3, 64}) {
        std::vector<std::atomic<int>> hits(static_cast<std::size_t>(n));
        parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
          EXPECT_EQ(begin % grain, 0);
          EXPECT_LE(end - begin, grain);
          for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
        });
        for (const auto& h : hits) EXPECT_EQ(h, 1);
      }
    }
  }
  set_num_threads(2);
}

TEST(ParallelFor, NestsAndRethrows) {
  set_num_threads(3);
  std::atomic<int> total{0};
  parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
    parallel_for(10, 3,
                 [&](std::int64_t begin, std::int64_t end) { total += static_cast<int>(end - begin); });
  });
  EXPECT_EQ(total, 80);
  EXPECT_THROW(parallel_for(100, 1,
                            [](std::int64_t begin, std::int64_t) {
                              if (begin == 57) throw std::runtime_error("piece 57");
                            }),
               std::runtime_error);
  total = 0;  // the pool works on after an exception
  parallel_for(100, 1, [&](std::int64_t, std::int64_t) { ++total; });
  EXPECT_EQ(total, 100);
  set_num_threads(2);
}

}  // namespace
}  // namespace rt
