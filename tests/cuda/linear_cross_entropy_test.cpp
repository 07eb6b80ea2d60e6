// What the op suite does not reach: logits in several chunks, targets the host cannot check, values that are
// not finite.
#include "rt/ops/linear_cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rt/core/host.h"
#include "tests/support/needs_device.h"
#include "tests/support/numbers.h"
#include "tests/support/schedule.h"

namespace rt::cuda {
namespace {

constexpr double kScale = 0.25, kWrap = 0.125;

struct Head {
  Tensor x, w, targets;     // inputs, on the host
  Tensor dx, dw, loss;      // results, on the host
  std::size_t scratch = 0;  // bytes it was given
  std::int32_t* target = nullptr;

  Head(std::int64_t B, std::int64_t T, std::int64_t C, std::int64_t V, DType dtype)
      : x({B, T, C}, dtype), w({V, C}, dtype), targets({B, T}, DType::I32) {
    // Small integers over 8 are the same in every dtype.
    const auto fill = [](const TensorView& to, std::uint64_t stream) {
      for (std::int64_t i = 0; i < to.numel(); ++i) {
        const std::uint64_t drawn = Rng{3, stream}.below(static_cast<std::uint64_t>(i), 17);
        set_element(to, i, (static_cast<double>(drawn) - 8) / 8);
      }
    };
    fill(x.view, 1);
    fill(w.view, 2);
    target = targets.view.as<std::int32_t>();
    for (std::int64_t i = 0; i < B * T; ++i) {
      const auto drawn = Rng{3, 3}.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(V) + 1);
      target[i] = static_cast<std::int32_t>(drawn) - 1;
    }
  }

  void run(bool gradients = true) {
    const bool reference = x.view.dtype == DType::F64;
    const Device device = reference ? Device::cpu() : Device::cuda(0);
    const Impl impl = reference ? Impl::Ref : Impl::Cuda;
    const auto forward = reference ? ref::linear_cross_entropy_forward : cuda::linear_cross_entropy_forward;
    const DType sums = reference ? DType::F64 : DType::F32;
    const Tensor dev_x = copy_to(device, x.view), dev_w = copy_to(device, w.view);
    const Tensor dev_targets = copy_to(device, targets.view);
    Tensor dev_dx(x.view.shape, x.view.dtype, device), dev_dw(w.view.shape, sums, device);
    Tensor dev_loss({x.view.shape[0]}, sums, device);
    const LinearCrossEntropyArgs args{dev_x.view, dev_w.view, dev_targets.view, kScale, kWrap};
    const LinearCrossEntropyOuts outs{dev_loss.view,
                                      gradients ? dev_dx.view : TensorView{},
                                      {dev_dw.view, gradients ? GradMode::Overwrite : GradMode::Skip}};
    Workspace plan(device, impl);
    forward(plan.ctx(), args, outs);
    scratch = plan.scratch().high_water();
    Workspace live(device, impl, 0, scratch, 0);
    forward(live.ctx(), args, outs);
    live.ctx().stream.synchronize();
    dx = copy_to(Device::cpu(), dev_dx.view);
    dw = copy_to(Device::cpu(), dev_dw.view);
    loss = copy_to(Device::cpu(), dev_loss.view);
  }
};

double relative(const TensorView& got, const TensorView& want) {
  double error = 0, norm = 0;
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    const double miss = element(got, i) - element(want, i);
    error += miss * miss;
    norm += element(want, i) * element(want, i);
  }
  return std::sqrt(error / norm);
}

TEST(CudaCrossEntropy, ChunksOfRowsGiveTheWhole) {
  RT_NEEDS_DEVICE();
  constexpr std::int64_t B = 2, T = 250, C = 4, V = 10007;
  Head want(B, T, C, V, DType::F64);
  want.run();
  for (const DType dtype : {DType::F32, DType::BF16}) {
    Head got(B, T, C, V, dtype);
    got.run();
    EXPECT_LT(got.scratch, (std::size_t{17} << 20) + (std::size_t{32} << 20))
        << "more than one chunk of logits";
    const double tolerance = dtype == DType::F32 ? 1e-5 : 1e-2;
    EXPECT_LE(relative(got.loss.view, want.loss.view), 1e-6);
    EXPECT_LE(relative(got.dx.view, want.dx.view), tolerance);
    EXPECT_LE(relative(got.dw.view, want.dw.view), tolerance);
    Head forward_only(B, T, C, V, dtype);
    forward_only.run(false);
    for (std::int64_t b = 0; b < B; ++b) {
      EXPECT_EQ(element(forward_only.loss.view, b), element(got.loss.view, b));
    }
  }
}

// More logits than shared memory holds, by so much that gradients reach the ones that are still to be read.
TEST(CudaCrossEntropy, LongRows) {
  RT_NEEDS_DEVICE();
  constexpr std::int64_t B = 1, T = 2, C = 2, V = 120011;
  Head want(B, T, C, V, DType::F64);
  want.run();
  for (const DType dtype : {DType::F32, DType::BF16}) {
    Head got(B, T, C, V, dtype);
    got.run();
    const double tolerance = dtype == DType::F32 ? 1e-5 : 1e-2;
    EXPECT_LE(relative(got.loss.view, want.loss.view), 1e-6);
    EXPECT_LE(relative(got.dx.view, want.dx.view), tolerance);
    EXPECT_LE(relative(got.dw.view, want.dw.view), tolerance);
    for (int i = 0; i < rt::testing::schedules(); ++i) {
      const rt::testing::Schedule change(i);
      Head again(B, T, C, V, dtype);
      again.run();
      EXPECT_EQ(rt::testing::numbers(again.dw.view), rt::testing::numbers(got.dw.view)) << "schedule " << i;
    }
  }
}

TEST(CudaCrossEntropy, ABadTargetIsNaNInItsRowAlone) {
  RT_NEEDS_DEVICE();
  constexpr std::int64_t T = 3, C = 4, V = 40;
  for (const DType dtype : {DType::F32, DType::BF16}) {
    for (const std::int32_t bad : {-2, 40, INT32_MAX, INT32_MIN}) {
      Head head(2, T, C, V, dtype);
      for (std::int32_t i = 0; i < 2 * T; ++i) head.target[i] = i;
      head.target[T + 1] = bad;
      head.run();
      EXPECT_TRUE(std::isfinite(element(head.loss.view, 0)));
      EXPECT_TRUE(std::isnan(element(head.loss.view, 1)));
      for (std::int64_t i = 0; i < 2 * T * C; ++i) {
        EXPECT_EQ(std::isnan(element(head.dx.view, i)), i / C == T + 1) << "target " << bad << ", dx " << i;
      }
    }
  }
}

TEST(CudaCrossEntropy, WhatIsNotFiniteIsSeen) {
  RT_NEEDS_DEVICE();
  for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    Head head(1, 2, 4, 40, DType::F32);
    head.target[0] = head.target[1] = 5;
    set_element(head.w.view, 17 * 4, bad);
    head.run();
    EXPECT_FALSE(std::isfinite(element(head.loss.view, 0)));
    EXPECT_FALSE(std::isfinite(element(head.dx.view, 0)));
  }
}

TEST(CudaCrossEntropy, LargeLogitsAndTies) {
  RT_NEEDS_DEVICE();
  Head large(1, 2, 1, 40, DType::F32);
  large.target[0] = 0;
  large.target[1] = 39;
  for (std::int64_t v = 0; v < 40; ++v) set_element(large.w.view, v, v == 39 ? 1e4 : -1e4);
  for (std::int64_t i = 0; i < 2; ++i) set_element(large.x.view, i, 1);
  large.run();
  EXPECT_NEAR(element(large.loss.view, 0), 2e4, 1e-2);
  EXPECT_TRUE(std::isfinite(element(large.dx.view, 0)));

  Head ties(1, 1, 1, 500, DType::F32);  // all logits are 6: the first one takes L2Wrap
  ties.target[0] = 499;
  set_element(ties.x.view, 0, 2);
  for (std::int64_t v = 0; v < 500; ++v) set_element(ties.w.view, v, 3);
  ties.run();
  EXPECT_NEAR(element(ties.loss.view, 0), std::log(500.0), 1e-6);
  for (std::int64_t v = 0; v < 500; ++v) {
    const double want = kScale * (1.0 / 500 - (v == 499 ? 1 : 0) + (v == 0 ? kWrap * 6 : 0));
    EXPECT_NEAR(element(ties.dw.view, v), 2 * want, 1e-6) << v;
  }
}

}  // namespace
}  // namespace rt::cuda
