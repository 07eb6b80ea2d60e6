#include "rt/ops/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rt/core/exec.h"
#include "rt/core/parallel.h"
#include "rt/core/philox.h"
#include "rt/core/rng.h"

namespace {

using rt::DType;
using rt::Tensor;

rt::StepScalars scalars(std::uint64_t step, float grad_scale = 1) {
  return {.lr = 1e-2f,
          .bias1 = static_cast<float>(1 - std::pow(0.9, static_cast<double>(step))),
          .bias2 = static_cast<float>(1 - std::pow(0.99, static_cast<double>(step))),
          .grad_scale = grad_scale,
          .step = step,
          .rounding = {77, step}};
}

// A range of parameters that takes steps.
struct Range {
  Tensor master, m, v, grad, copy;
  bool shared;
  std::int64_t begin = 0;
  std::uint32_t halted = 0;
  Range(std::int64_t n, DType dtype, bool shared_value) : Range(n, dtype, shared_value, dtype) {}
  Range(std::int64_t n, DType dtype, bool shared_value, DType moments)
      : master({n}, dtype),
        m({n}, moments),
        v({n}, moments),
        grad({n}, dtype),
        copy({n}, DType::BF16),
        shared(shared_value) {
    for (std::int64_t i = 0; i < n; ++i) {
      rt::set_element(master.view, i,
                      static_cast<float>(rt::Rng{1, 1}.uniform(static_cast<std::uint64_t>(i))));
    }
  }
  void step(std::uint64_t t, double size, double weight_decay = 0.1, float grad_scale = 0.5f) {
    for (std::int64_t i = 0; i < grad.view.numel(); ++i) {
      const double u = rt::Rng{2, t}.uniform(static_cast<std::uint64_t>(i)) - 0.5;
      rt::set_element(grad.view, i, static_cast<float>(size * u));
    }
    update(t, weight_decay, grad_scale);
  }
  void update(std::uint64_t t, double weight_decay, float grad_scale) {
    rt::StepScalars s = scalars(t, grad_scale);
    s.halted = halted;
    const auto impl = master.view.dtype == DType::F64 ? rt::Impl::Ref : rt::Impl::Cpu;
    rt::Workspace ws(rt::Device::cpu(), impl, 0, 0, 0);
    rt::adamw(ws.ctx(), {.master = master.view,
                         .m = m.view,
                         .v = v.view,
                         .grad = grad.view,
                         .value = shared ? master.view : copy.view,
                         .scalars = &s,
                         .beta1 = 0.9,
                         .beta2 = 0.99,
                         .eps = 1e-18,
                         .lr_scale = 2,
                         .weight_decay = weight_decay,
                         .begin = begin});
  }
};

TEST(AdamW, CpuMatchesReferenceOverSteps) {
  for (const bool shared : {true, false}) {
    Range ref(1001, DType::F64, shared), cpu(1001, DType::F32, shared);
    for (std::uint64_t t = 1; t <= 5; ++t) {
      ref.step(t, 1e-3);
      cpu.step(t, 1e-3);
    }
    for (std::int64_t i = 0; i < 1001; ++i) {
      ASSERT_NEAR(rt::element(cpu.master.view, i), rt::element(ref.master.view, i), 1e-5) << i;
      ASSERT_NEAR(rt::element(cpu.v.view, i), rt::element(ref.v.view, i), 1e-12) << i;
      const float rounded = static_cast<float>(rt::bf16(cpu.master.view.as<float>()[i]));
      ASSERT_EQ(rt::element(cpu.copy.view, i), shared ? 0 : static_cast<double>(rounded)) << i;
    }
  }
}

TEST(AdamW, FirstStepIsTheSignTimesTheRate) {
  Range p(3, DType::F64, true);
  for (int i = 0; i < 3; ++i) rt::set_element(p.master.view, i, 1);
  rt::set_element(p.grad.view, 0, 1e-6);
  rt::set_element(p.grad.view, 1, -5);
  p.update(1, 0, 1);
  const double rate = 2 * static_cast<double>(1e-2f);
  EXPECT_NEAR(rt::element(p.master.view, 0), 1 - rate, 1e-7);
  EXPECT_NEAR(rt::element(p.master.view, 1), 1 + rate, 1e-7);
  EXPECT_EQ(rt::element(p.master.view, 2), 1);
}

// RWKV's eps of 1e-18: gradients so small that v is denormal or zero still give finite steps, in proportion.
TEST(AdamW, TinyGradientsDoNotOverflow) {
  for (const double size : {0.0, 1e-45, 1e-30, 1e-24, 1e-21, 1e-19, 1e-18, 1e-16}) {
    Range ref(64, DType::F64, true), cpu(64, DType::F32, true);
    for (std::uint64_t t = 1; t <= 3; ++t) {
      ref.step(t, size, 0, 1);
      cpu.step(t, size, 0, 1);
    }
    for (std::int64_t i = 0; i < 64; ++i) {
      // v loses digits as a denormal; where it is 0 or nearly so, eps decides and m is small.
      ASSERT_NEAR(rt::element(cpu.master.view, i), rt::element(ref.master.view, i), 2e-4)
          << "size " << size << " at " << i;
      if (size == 0) { ASSERT_EQ(rt::element(cpu.master.view, i), rt::element(ref.master.view, i)); }
    }
  }
}

TEST(AdamW, BitsDoNotDependOnThreads) {
  const int threads = rt::num_threads();
  for (const DType moments : {DType::F32, DType::BF16}) {
    std::vector<Range> ranges;
    for (const int n : {1, 4}) {
      rt::set_num_threads(n);
      Range& p = ranges.emplace_back(50000, DType::F32, false, moments);
      for (std::uint64_t t = 1; t <= 2; ++t) p.step(t, 1);
    }
    rt::set_num_threads(threads);
    for (std::int64_t i = 0; i < 50000; ++i) {
      ASSERT_EQ(rt::element(ranges[0].master.view, i), rt::element(ranges[1].master.view, i)) << i;
      ASSERT_EQ(rt::element(ranges[0].copy.view, i), rt::element(ranges[1].copy.view, i)) << i;
      ASSERT_EQ(rt::element(ranges[0].v.view, i), rt::element(ranges[1].v.view, i)) << i;
    }
  }
}

// Of the first step, which starts from the same moments: what bf16 keeps is what f32 keeps, rounded with the
// bits that adamw.h names, and the master does not see the rounding.
TEST(AdamW, Bf16MomentsAreRoundedAsTheHeaderSays) {
  for (const std::int64_t begin : {0, 64}) {
    for (const double size : {1.0, 1e-3, 1e-18, 1e-20, 1e-22}) {  // down to squares that are denormal
      Range kept(1001, DType::F32, true), rounded(1001, DType::F32, true, DType::BF16);
      kept.begin = rounded.begin = begin;
      kept.step(1, size);
      rounded.step(1, size);
      for (std::int64_t i = 0; i < 1001; ++i) {
        const auto index = static_cast<std::uint64_t>(begin + i);
        const std::uint32_t word = rt::philox(77, 1, index / 4).word[index % 4];
        ASSERT_EQ(rt::element(rounded.master.view, i), rt::element(kept.master.view, i)) << size << " " << i;
        ASSERT_EQ(rt::element(rounded.m.view, i),
                  double(rt::round_stochastic(kept.m.view.as<float>()[i], word & 0xffff)));
        ASSERT_EQ(rt::element(rounded.v.view, i),
                  double(rt::round_stochastic(kept.v.view.as<float>()[i], word >> 16)));
      }
    }
  }
}

// What rounding to nearest loses: v moves by a hundredth a step, half the distance of two numbers in bf16.
TEST(AdamW, Bf16MomentsKeepTheirMean) {
  constexpr std::int64_t n = 20000;
  for (const double size : {1.0, 1e-19}) {
    Range ref(1, DType::F64, true), p(n, DType::F32, true, DType::BF16);
    const auto constant = [&](Range& range) {
      for (std::int64_t i = 0; i < range.grad.view.numel(); ++i)
        rt::set_element(range.grad.view, i, static_cast<float>(-size));
    };
    constant(ref);
    constant(p);
    for (std::uint64_t t = 1; t <= 100; ++t) {
      ref.update(t, 0, 1);
      p.update(t, 0, 1);
    }
    double m = 0, v = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      m += rt::element(p.m.view, i) / n;
      v += rt::element(p.v.view, i) / n;
    }
    // A single number errs by 1%, or 5% where it is denormal; the mean of so many by a hundredth of that.
    EXPECT_NEAR(m / rt::element(ref.m.view, 0), 1, 1e-3) << size;
    EXPECT_NEAR(v / rt::element(ref.v.view, 0), 1, 1e-3) << size;
  }
}

TEST(AdamW, AHaltedStepChangesNothing) {
  for (const DType master : {DType::F64, DType::F32}) {
    Range before(100, master, false), after(100, master, false);
    for (Range* p : {&before, &after}) p->step(1, 1);
    after.halted = 1;
    after.step(2, 1);
    for (std::int64_t i = 0; i < 100; ++i) {
      ASSERT_EQ(rt::element(after.master.view, i), rt::element(before.master.view, i));
      ASSERT_EQ(rt::element(after.m.view, i), rt::element(before.m.view, i));
      ASSERT_EQ(rt::element(after.v.view, i), rt::element(before.v.view, i));
      ASSERT_EQ(rt::element(after.copy.view, i), rt::element(before.copy.view, i));
    }
  }
}

TEST(AdamW, RefusesRangesThatDoNotFit) {
  Range p(4, DType::F32, true);
  p.m = Tensor({3}, DType::F32);
  EXPECT_THROW(p.update(1, 0, 1), rt::Error);
  Range half(4, DType::F32, true, DType::BF16);
  half.begin = 2;
  EXPECT_THROW(half.update(1, 0, 1), rt::Error);
  half.begin = 0;
  half.v = Tensor({4}, DType::F32);
  EXPECT_THROW(half.update(1, 0, 1), rt::Error);
  Range reference(4, DType::F64, true, DType::BF16);
  EXPECT_THROW(reference.update(1, 0, 1), rt::Error);
}

}  // namespace
