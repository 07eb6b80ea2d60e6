// The emulation itself: kernels that are right give the same right numbers in every schedule.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cuda/emulation/runtime.h"
#include "rt/core/error.h"
#include "rt/core/parallel.h"
#include "tests/cuda/kernels.h"
#include "tests/cuda/schedules.h"

namespace rt::cuda::testing {
namespace {

void expect_same_in_every_schedule(const std::function<Bits()>& run) {
  const std::vector<Bits> results = in_every_schedule(run);
  for (std::size_t i = 1; i < results.size(); ++i) EXPECT_EQ(results[0], results[i]) << "schedule " << i;
}

TEST(Emulation, GemmIsRight) {
  const std::vector<float> c = gemm(gemm_a(), gemm_b(), kM, kN, kK);
  for (std::int64_t m = 0; m < kM; ++m) {
    for (std::int64_t n = 0; n < kN; ++n) {
      double want = 0;
      for (std::int64_t k = 0; k < kK; ++k) {
        want += static_cast<double>(static_cast<float>(gemm_a()[static_cast<std::size_t>(m * kK + k)])) *
                static_cast<double>(static_cast<float>(gemm_b()[static_cast<std::size_t>(k * kN + n)]));
      }
      ASSERT_NEAR(c[static_cast<std::size_t>(m * kN + n)], want, 2e-5) << m << "," << n;
    }
  }
  expect_same_in_every_schedule([] { return bits(gemm(gemm_a(), gemm_b(), kM, kN, kK)); });
}

TEST(Emulation, LayerNormIsRight) {
  constexpr std::size_t kRows = 5;
  const std::vector<bf16> x = numbers(kRows * kNormWidth, 3);
  const std::vector<bf16> y = layer_norm(x);
  for (std::size_t row = 0; row < kRows; ++row) {
    double mean = 0, var = 0;
    const auto at = [&](std::int64_t i) {
      return static_cast<double>(static_cast<float>(x[row * kNormWidth + static_cast<std::size_t>(i)]));
    };
    for (std::int64_t i = 0; i < kNormWidth; ++i) mean += at(i) / kNormWidth;
    for (std::int64_t i = 0; i < kNormWidth; ++i) var += (at(i) - mean) * (at(i) - mean) / kNormWidth;
    for (std::int64_t i = 0; i < kNormWidth; ++i) {
      const double want = (at(i) - mean) / std::sqrt(var + 1e-5);
      const auto got = static_cast<float>(y[row * kNormWidth + static_cast<std::size_t>(i)]);
      ASSERT_NEAR(got, want, 0.004 * std::abs(want) + 1e-6) << row << "," << i;
    }
  }
  expect_same_in_every_schedule([&] { return bits(layer_norm(x)); });
}

TEST(Emulation, TransposeMovesEveryElement) {
  constexpr std::int64_t kRows = 24, kCols = 40;
  const std::vector<bf16> x = numbers(kRows * kCols, 4);
  const std::vector<bf16> y = transpose(x, kRows, kCols);
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) {
      ASSERT_EQ(y[static_cast<std::size_t>(c * kRows + r)].bits,
                x[static_cast<std::size_t>(r * kCols + c)].bits);
    }
  }
  expect_same_in_every_schedule([&] { return bits(transpose(x, kRows, kCols)); });
}

// Round to 10 bits of mantissa, ties away from zero.
double tf32(float x) {
  int exponent = 0;
  const double mantissa = std::frexp(static_cast<double>(x), &exponent);
  return std::ldexp(std::round(std::ldexp(mantissa, 11)), exponent - 11);
}

TEST(Emulation, Tf32ProductIsRight) {
  const auto values = [](std::size_t n, std::uint64_t seed) {
    std::vector<float> out;
    for (const bf16 v : numbers(n, seed)) out.push_back(static_cast<float>(v) * 1.2345678f);
    return out;
  };
  std::vector<float> a = values(16 * 8, 5), b = values(8 * 8, 6);
  a[0] = 1 + std::ldexp(1.0f, -11);  // a tie
  a[1] = -a[0];
  const std::vector<float> c = gemm_tf32(a, b);
  for (std::size_t m = 0; m < 16; ++m) {
    for (std::size_t n = 0; n < 8; ++n) {
      double want = 0;
      for (std::size_t k = 0; k < 8; ++k) want += tf32(a[m * 8 + k]) * tf32(b[k * 8 + n]);
      ASSERT_NEAR(c[m * 8 + n], want, 2e-6) << m << "," << n;
    }
  }
}

TEST(Emulation, WarpOperations) {
  int operations = 0;
  const std::vector<std::int64_t> got = warp_operations(operations);
  constexpr int kThreads = 40;
  ASSERT_EQ(operations, 16);
  for (int t = 0; t < kThreads; ++t) {
    const int lane = t % 32, warp = t - lane, half = lane / 16 * 16;
    const bool small = warp == 32;  // lanes 8 to 31 do not exist
    const int popcount_and_more = 16 + std::countl_zero(static_cast<unsigned>(lane + 1)) +
                                  (lane ? std::countr_zero(static_cast<unsigned>(lane)) + 1 : 0);
    const std::int64_t want[] = {
        warp + 3,
        lane / 4 * 4 + 1 + warp,
        lane % 8 < 2 ? t : t - 2,
        lane % 8 > 4 ? t : t + 3,
        t ^ 4,
        2 * (t ^ 1) + 1,
        small ? 0b01001001 : 0x49249249,
        small,
        small,
        10,
        1,
        0,
        small ? lane : (2 * half + 15) * 8,
        popcount_and_more + std::min(lane, 3) + std::max(lane, 4),
        small ? 0 : 496,
        0,
    };
    for (int i = 0; i < operations; ++i) {
      EXPECT_EQ(got[static_cast<std::size_t>(i * kThreads + t)], want[i])
          << "operation " << i << ", thread " << t;
    }
  }
}

TEST(Emulation, VectorsOfEveryWidth) {
  for (const std::size_t n : {64, 61}) {
    const std::vector<bf16> x = numbers(n, 7);
    std::vector<float> wide;
    for (const bf16 v : x) wide.push_back(static_cast<float>(v) + 1e-6f);
    for (const int N : {1, 2, 4, 8, 16}) {
      EXPECT_EQ(bits(copy_bf16(x, N)), bits(x)) << N;
      EXPECT_EQ(bits(copy_float(wide, N)), bits(wide)) << N;
    }
  }
}

TEST(Emulation, LastBlockSumsForAnyThreadCount) {
  std::vector<float> x;
  double want = 0;
  for (const bf16 v : numbers(3000, 8)) {
    x.push_back(static_cast<float>(v));
    want += static_cast<double>(x.back());
  }
  const int before = num_threads();
  std::vector<double> sums;
  for (const int threads : {1, 2, 5}) {
    set_num_threads(threads);
    sums.push_back(sum_by_last_block(x));
  }
  set_num_threads(before);
  EXPECT_NEAR(sums[0], want, 1e-9);
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[0], sums[2]);
}

TEST(Emulation, IndicesOfEveryThread) {
  const std::vector<int> got = flat_indices();
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], static_cast<int>(i));
}

TEST(Emulation, HandOverIsRight) {
  const std::vector<float> got = hand_over();
  for (int t = 0; t < 64; ++t) {
    EXPECT_EQ(got[static_cast<std::size_t>(t)], static_cast<float>(100 * (t % 32 + 1) + 2 * (t % 32 + 1)));
    EXPECT_EQ(got[static_cast<std::size_t>(64 + t)], static_cast<float>(t ^ 1));
  }
  expect_same_in_every_schedule([] { return bits(hand_over()); });
}

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  ~Environment() { set(old_ ? old_->c_str() : ""); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  void set(const char* value) { setenv(name_, value, 1); }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(Emulation, ScheduleComesFromTheEnvironment) {
  Environment order("RT_EMU_ORDER", "prio"), seed("RT_EMU_SEED", "17"), threads("RT_EMU_THREADS", "3");
  const emu::Options o = emu::default_options();
  EXPECT_EQ(o.order, emu::Order::Prio);
  EXPECT_EQ(o.seed, 17u);
  EXPECT_EQ(o.os_threads, 3);
  order.set("sorted");
  EXPECT_THROW(emu::default_options(), Error);
  order.set("");
  seed.set("-x");
  EXPECT_THROW(emu::default_options(), Error);
  seed.set("");
  EXPECT_EQ(emu::default_options().order, emu::Order::Fifo);
}

}  // namespace
}  // namespace rt::cuda::testing
