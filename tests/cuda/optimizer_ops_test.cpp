// The ops that the op suite does not test.
#include "rt/ops/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "rt/core/host.h"
#include "rt/core/rng.h"
#include "rt/ops/step_control.h"
#include "tests/support/needs_device.h"

namespace rt::testing {
namespace {

// Against the double form, over steps, down to gradients whose squares are denormal or zero.
TEST(AdamWOnCuda, MatchesReference) {
  RT_NEEDS_DEVICE();
  for (const std::int64_t n : {1001, 1024}) {
    for (const double size : {1.0, 1e-3, 1e-18, 1e-21, 1e-24, 1e-45, 0.0}) {
      const Device cuda = Device::cuda(0);
      Tensor p({n}, DType::F64), m({n}, DType::F64), v({n}, DType::F64), grad({n}, DType::F64),
          rounded({n}, DType::F32);
      for (std::int64_t i = 0; i < n; ++i)
        set_element(rounded.view, i, Rng{1, 1}.uniform(static_cast<std::uint64_t>(i)));
      for (std::int64_t i = 0; i < n; ++i) set_element(p.view, i, element(rounded.view, i));
      const Tensor gp = copy_to(cuda, rounded.view), gm({n}, DType::F32, cuda), gv({n}, DType::F32, cuda);
      const Tensor value({n}, DType::BF16, cuda);
      Workspace host(Device::cpu(), Impl::Ref, 0, 0, 0), device(cuda, Impl::Cuda, 0, 0, 0);
      for (std::uint64_t t = 1; t <= 3; ++t) {
        for (std::int64_t i = 0; i < n; ++i) {
          set_element(rounded.view, i, size * (Rng{2, t}.uniform(static_cast<std::uint64_t>(i)) - 0.5));
          set_element(grad.view, i, element(rounded.view, i));
        }
        StepScalars s{1e-2f, static_cast<float>(1 - std::pow(0.9, t)),
                      static_cast<float>(1 - std::pow(0.99, t)), 0.5f, t};
        const Tensor g = copy_to(cuda, rounded.view);
        const TensorView bytes(&s, {sizeof(s)}, DType::U8);
        const Tensor scalars = copy_to(cuda, bytes);
        AdamwArgs a{p.view, m.view, v.view, grad.view, p.view, &s, 0.9, 0.99, 1e-18, 2, 0.1};
        adamw(host.ctx(), a);
        a.master = gp.view, a.m = gm.view, a.v = gv.view, a.grad = g.view, a.value = value.view;
        a.scalars = reinterpret_cast<const StepScalars*>(scalars.view.data);
        adamw(device.ctx(), a);
        device.ctx().stream.synchronize();
      }
      const Tensor got = copy_to(Device::cpu(), gp.view), got_v = copy_to(Device::cpu(), gv.view);
      const Tensor copied = copy_to(Device::cpu(), value.view);
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_NEAR(element(got.view, i), element(p.view, i), size > 1e-15 ? 1e-5 : 2e-4)
            << size << " at " << i;
        ASSERT_NEAR(element(got_v.view, i), element(v.view, i), 1e-6 * element(v.view, i) + 3e-45);
        const float expected = static_cast<float>(bf16(got.view.as<float>()[i]));
        ASSERT_EQ(element(copied.view, i), static_cast<double>(expected));
      }
    }
  }
}

// With both betas 0 what is to be rounded is the gradient and its square, the same f32 numbers in every
// implementation: then so are the bits.
TEST(AdamWOnCuda, Bf16MomentsAreRoundedAsOnTheCpu) {
  RT_NEEDS_DEVICE();
  for (const std::int64_t n : {1001, 1024}) {
    for (const double size : {1.0, 1e-3, 1e-18, 1e-20, 1e-22}) {
      StepScalars s{1e-2f, 1, 1, 1, 5, Rng{11, 12}};
      const Tensor scalars = copy_to(Device::cuda(0), TensorView(&s, {sizeof(s)}, DType::U8));
      Tensor grad({n}, DType::F32);
      for (std::int64_t i = 0; i < n; ++i)
        set_element(grad.view, i, size * (Rng{2, 1}.uniform(static_cast<std::uint64_t>(i)) - 0.5));
      const auto moments = [&](Impl impl) {
        const Device device = device_of(impl);
        const Tensor p({n}, DType::F32, device), m({n}, DType::BF16, device), v({n}, DType::BF16, device);
        const Tensor g = copy_to(device, grad.view);
        const void* at = impl == Impl::Cuda ? scalars.view.data : reinterpret_cast<std::byte*>(&s);
        Workspace ws(device, impl, 0, 0, 0);
        adamw(ws.ctx(), {p.view, m.view, v.view, g.view, p.view, static_cast<const StepScalars*>(at), 0, 0,
                         1e-18, 1, 0.1, 128});
        ws.ctx().stream.synchronize();
        return std::pair(copy_to(Device::cpu(), m.view), copy_to(Device::cpu(), v.view));
      };
      const auto [m, v] = moments(Impl::Cuda);
      const auto [want_m, want_v] = moments(Impl::Cpu);
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(m.view.as<bf16>()[i].bits, want_m.view.as<bf16>()[i].bits) << size << " at " << i;
        ASSERT_EQ(v.view.as<bf16>()[i].bits, want_v.view.as<bf16>()[i].bits) << size << " at " << i;
      }
    }
  }
}

TEST(GlobalNormOnCuda, MatchesReference) {
  RT_NEEDS_DEVICE();
  const Device cuda = Device::cuda(0);
  for (const std::int64_t n : {0, 1, 7, 4096, 65537, 150000}) {
    for (const DType dtype : {DType::F32, DType::F64}) {
      const Tensor host({n}, dtype), result({16}, DType::U8, cuda);
      for (std::int64_t i = 0; i < n; ++i)
        set_element(host.view, i, Rng{3, 1}.uniform(static_cast<std::uint64_t>(i)));
      const auto norm = [&] {
        const Tensor values = copy_to(cuda, host.view);
        auto* at = reinterpret_cast<NormResult*>(result.view.data);
        Workspace plan(cuda, Impl::Cuda);
        global_norm(plan.ctx(), values.view, at);
        Workspace live(cuda, Impl::Cuda, 0, plan.scratch().high_water(), 0);
        global_norm(live.ctx(), values.view, at);
        live.ctx().stream.synchronize();
        const Tensor back = copy_to(Device::cpu(), result.view);
        return *reinterpret_cast<const NormResult*>(back.view.data);
      };
      NormResult want{};
      Workspace ref(Device::cpu(), Impl::Ref, 0, 0, 0);
      global_norm(ref.ctx(), host.view, &want);
      EXPECT_NEAR(norm().sum_squares, want.sum_squares, 1e-12 * want.sum_squares) << n;
      EXPECT_EQ(norm().non_finite, 0);
      if (n < 8) continue;
      set_element(host.view, n - 1, static_cast<double>(std::numeric_limits<float>::max()));
      EXPECT_TRUE(std::isfinite(norm().sum_squares));
      set_element(host.view, 3, NAN);
      set_element(host.view, n - 1, -INFINITY);
      EXPECT_EQ(norm().non_finite, 2);
      EXPECT_FALSE(std::isfinite(norm().sum_squares));
    }
  }
}

TEST(GlobalNormOnCuda, PartsAddUpToTheBitsOfTheWhole) {
  RT_NEEDS_DEVICE();
  const Device cuda = Device::cuda(0);
  for (const std::int64_t slice : {32, 70'000}) {
    constexpr int kSlices = 16;
    Tensor host({kSlices * slice}, DType::F32);
    for (std::int64_t i = 0; i < host.view.numel(); ++i)
      set_element(host.view, i, Rng{3, 1}.uniform(static_cast<std::uint64_t>(i)));
    const Tensor values = copy_to(cuda, host.view), result({16}, DType::U8, cuda);
    const auto norm = [&](const TensorView& part, int slices) {
      auto* at = reinterpret_cast<NormResult*>(result.view.data);
      Workspace plan(cuda, Impl::Cuda);
      global_norm(plan.ctx(), part, at, slices);
      Workspace live(cuda, Impl::Cuda, 0, plan.scratch().high_water(), 0);
      global_norm(live.ctx(), part, at, slices);
      live.ctx().stream.synchronize();
      const Tensor back = copy_to(Device::cpu(), result.view);
      return *reinterpret_cast<const NormResult*>(back.view.data);
    };
    const NormResult whole = norm(values.view, kSlices);
    NormResult exact{};
    Workspace ref(Device::cpu(), Impl::Ref, 0, 0, 0);
    global_norm(ref.ctx(), host.view, &exact);
    EXPECT_NEAR(whole.sum_squares, exact.sum_squares, 1e-12 * exact.sum_squares);
    for (const int parts : {2, 8, 16}) {
      NormTree tree;
      const std::int64_t n = values.view.numel() / parts;
      for (int p = 0; p < parts; ++p)
        tree.push(norm(values.view.slice(0, p * n, (p + 1) * n), kSlices / parts));
      EXPECT_EQ(tree.total().sum_squares, whole.sum_squares) << slice << " in " << parts;
    }
  }
}

TEST(AdamWOnCuda, AHaltedStepChangesNothing) {
  RT_NEEDS_DEVICE();
  const Device cuda = Device::cuda(0);
  StepScalars s{1e-2f, 1, 1, 1, 5};
  s.halted = 1;
  const Tensor scalars = copy_to(cuda, TensorView(&s, {sizeof(s)}, DType::U8));
  for (const DType moments : {DType::F32, DType::BF16}) {
    const Tensor p({1000}, DType::F32, cuda), m({1000}, moments, cuda), v({1000}, moments, cuda);
    Tensor grad({1000}, DType::F32);
    for (std::int64_t i = 0; i < 1000; ++i) set_element(grad.view, i, 1);
    const Tensor g = copy_to(cuda, grad.view), value({1000}, DType::BF16, cuda);
    Workspace ws(cuda, Impl::Cuda, 0, 0, 0);
    const auto* at = reinterpret_cast<const StepScalars*>(scalars.view.data);
    adamw(ws.ctx(), {p.view, m.view, v.view, g.view, value.view, at, 0.9, 0.99, 1e-18, 1, 0.1});
    for (const Tensor* t : {&p, &m, &v, &value}) {
      const Tensor host = copy_to(Device::cpu(), t->view);
      for (std::int64_t i = 0; i < 1000; ++i) ASSERT_EQ(element(host.view, i), 0);
    }
  }
}

// Steps one after the other: what the device makes of them is what the reference does.
}  // namespace
}  // namespace rt::testing
