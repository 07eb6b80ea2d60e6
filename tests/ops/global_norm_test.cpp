#include "rt/ops/global_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "rt/core/error.h"
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

rt::NormResult norm_of(const rt::TensorView& values, int slices, rt::Impl impl) {
  rt::Workspace plan(rt::Device::cpu(), impl);
  rt::NormResult r{-1, -1};
  rt::global_norm(plan.ctx(), values, &r, slices);
  rt::Workspace live(rt::Device::cpu(), impl, 0, plan.scratch().high_water(), 0);
  rt::global_norm(live.ctx(), values, &r, slices);
  return r;
}

// What processes with a part each find is a subtree of what one with all finds.
TEST(GlobalNorm, PartsAddUpToTheBitsOfTheWhole) {
  for (const std::int64_t slice : {1, 32, 70'000}) {
    constexpr int kSlices = 16;
    const Tensor t = random(kSlices * slice, DType::F32);
    const double whole = norm_of(t.view, kSlices, rt::Impl::Cpu).sum_squares;
    for (const int parts : {2, 4, 8, 16}) {
      rt::NormTree tree;
      const std::int64_t n = t.view.numel() / parts;
      for (int p = 0; p < parts; ++p)
        tree.push(norm_of(t.view.slice(0, p * n, (p + 1) * n), kSlices / parts, rt::Impl::Cpu));
      EXPECT_EQ(tree.total().sum_squares, whole) << slice << " in " << parts;
    }
    EXPECT_NEAR(norm_of(t.view, kSlices, rt::Impl::Ref).sum_squares, whole, 1e-12 * whole);
  }
  EXPECT_THROW(norm_of(random(10, DType::F32).view, 3, rt::Impl::Cpu), rt::Error);
}

TEST(GlobalNorm, ATreeOfAnyNumberIsThatOfItsHalves) {
  const auto leaf = [](int i) { return rt::NormResult{1.0 / (3 + i), i}; };
  const std::function<rt::NormResult(int, int)> tree = [&](int lo, int hi) {
    if (hi - lo == 1) return leaf(lo);
    int half = 1;
    while (2 * half < hi - lo) half *= 2;
    const auto a = tree(lo, lo + half), b = tree(lo + half, hi);
    return rt::NormResult{a.sum_squares + b.sum_squares, a.non_finite + b.non_finite};
  };
  for (int n = 1; n < 40; ++n) {
    rt::NormTree pushed;
    for (int i = 0; i < n; ++i) pushed.push(leaf(i));
    EXPECT_EQ(pushed.total().sum_squares, tree(0, n).sum_squares) << n;
    EXPECT_EQ(pushed.total().non_finite, n * (n - 1) / 2);
  }
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
