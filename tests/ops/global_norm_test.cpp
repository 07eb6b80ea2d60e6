#include "rt/ops/global_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rt/core/parallel.h"
#include "rt/core/rng.h"

namespace {

using rt::DType;
using rt::Tensor;

Tensor random(std::int64_t n, DType dtype) {
  Tensor t({n}, dtype);
  for (std::int64_t i = 0; i < n; ++i) {
    rt::set_element(t.view, i,
                    static_cast<float>(rt::Rng{3, 1}.uniform(static_cast<std::uint64_t>(i)) - 0.5));
  }
  return t;
}

rt::NormResult norm(const Tensor& t, rt::Impl impl) {
  rt::Workspace plan(rt::Device::cpu(), impl);
  rt::NormResult r{-1, -1};
  rt::global_norm(plan.ctx(), t.view, &r);
  EXPECT_EQ(r.non_finite, -1) << "a dry run wrote its result";
  rt::Workspace live(rt::Device::cpu(), impl, 0, plan.scratch().high_water(), 0);
  rt::global_norm(live.ctx(), t.view, &r);
  return r;
}

TEST(GlobalNorm, CpuMatchesReference) {
  for (const std::int64_t n : {0, 1, 7, 65536, 65537, 200003}) {
    for (const DType dtype : {DType::F32, DType::F64}) {
      const Tensor t = random(n, dtype);
      const auto want = norm(t, rt::Impl::Ref), got = norm(t, rt::Impl::Cpu);
      EXPECT_NEAR(got.sum_squares, want.sum_squares, 1e-12 * want.sum_squares) << n;
      EXPECT_EQ(got.non_finite, 0);
      EXPECT_NEAR(want.sum_squares, static_cast<double>(n) / 12, 0.05 * static_cast<double>(n) + 0.1);
    }
  }
}

TEST(GlobalNorm, CountsWhatIsNotFinite) {
  for (const DType dtype : {DType::F32, DType::F64}) {
    const Tensor t = random(70000, dtype);
    rt::set_element(t.view, 3, NAN);
    rt::set_element(t.view, 69999, INFINITY);
    rt::set_element(t.view, 60000, -INFINITY);
    for (const rt::Impl impl : {rt::Impl::Ref, rt::Impl::Cpu}) {
      const auto r = norm(t, impl);
      EXPECT_EQ(r.non_finite, 3);
      EXPECT_FALSE(std::isfinite(r.sum_squares));
    }
  }
}

TEST(GlobalNorm, LargestFloatsDoNotOverflow) {
  const Tensor t = random(100, DType::F32);
  rt::set_element(t.view, 50, static_cast<double>(std::numeric_limits<float>::max()));
  const auto r = norm(t, rt::Impl::Cpu);
  EXPECT_TRUE(std::isfinite(r.sum_squares));
  EXPECT_EQ(r.non_finite, 0);
}

TEST(GlobalNorm, BitsDoNotDependOnThreads) {
  const Tensor t = random(300001, DType::F32);
  const int threads = rt::num_threads();
  rt::set_num_threads(1);
  const auto one = norm(t, rt::Impl::Cpu);
  rt::set_num_threads(4);
  const auto four = norm(t, rt::Impl::Cpu);
  rt::set_num_threads(threads);
  EXPECT_EQ(one.sum_squares, four.sum_squares);
}

}  // namespace
