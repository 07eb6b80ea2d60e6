// The ops that the op suite does not test.
#include "rt/ops/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "rt/core/host.h"
#include "rt/core/rng.h"
#include "rt/ops/step_control.h"

namespace rt::testing {
namespace {

#define RT_NEEDS_DEVICE() \
  if (cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device"

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

TEST(StepControlOnCuda, ReadsWhatSeveralProcessesFound) {
  RT_NEEDS_DEVICE();
  const Device cuda = Device::cuda(0);
  struct Found {
    NormResult norms[300];
    float losses[4];
  };
  constexpr std::int64_t kRanks = 3, kUnits = 300, kMicro = 5, kRows = 2;
  std::vector<Found> all(kRanks);
  for (std::size_t r = 0; r < kRanks; ++r) {
    for (std::size_t u = 0; u < kUnits; ++u) all[r].norms[u] = {1.0 / static_cast<double>(3 + u + 7 * r), 0};
    for (std::size_t i = 0; i < 4; ++i) all[r].losses[i] = static_cast<float>(1 + r * 4 + i);
  }
  const auto bytes = static_cast<std::int64_t>(kRanks * sizeof(Found));
  const Tensor there = copy_to(cuda, TensorView(all.data(), {bytes}, DType::U8));
  const auto control = [&](const std::byte* at, ExecContext& ctx, StepScalars* scalars, StepReport* report,
                           Device device) {
    const auto* first = reinterpret_cast<const Found*>(at);
    StepControlArgs args{
        first->norms, TensorView(const_cast<float*>(first->losses), {kMicro * kRows}, DType::F32, device), 1};
    args.units = kUnits;
    args.ranks = args.norm_ranks = kRanks;
    args.stride = sizeof(Found);
    args.rows = kRows;
    step_control(ctx, args, {scalars, report});
  };
  StepScalars scalars{};
  StepReport want{};
  Workspace host(Device::cpu(), Impl::Cpu, 0, 0, 0), on(cuda, Impl::Cuda, 0, 0, 0);
  control(reinterpret_cast<const std::byte*>(all.data()), host.ctx(), &scalars, &want, Device::cpu());
  const Tensor out({static_cast<std::int64_t>(sizeof(StepScalars) + sizeof(StepReport))}, DType::U8, cuda);
  auto* report = reinterpret_cast<StepReport*>(out.view.data);
  control(there.view.data, on.ctx(), reinterpret_cast<StepScalars*>(report + 1), report, cuda);
  on.ctx().stream.synchronize();
  const Tensor back = copy_to(Device::cpu(), out.view);
  const auto& got = *reinterpret_cast<const StepReport*>(back.view.data);
  EXPECT_EQ(got.loss, want.loss);
  EXPECT_EQ(want.loss, 1 + 2 + 5 + 6 + 9 + 10 + 3 + 4 + 7 + 8);
  EXPECT_EQ(got.sum_squares, want.sum_squares);
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
TEST(StepControlOnCuda, MatchesReference) {
  RT_NEEDS_DEVICE();
  struct Both {
    StepScalars scalars;
    StepReport report;
  };
  struct Step {
    std::int64_t n, bad;  // losses, and which one is not finite
    NormResult norm;
  };
  const Device cuda = Device::cuda(0);
  for (const std::int64_t bad : {-1, 0, 700, 1000}) {
    Both host{};
    std::uint64_t t = 0;
    Tensor device({sizeof(Both)}, DType::U8, cuda);
    for (const Step& step : {Step{1, -1, {4, 0}}, Step{1001, bad, {9, 0}}, Step{300, -1, {0.25, 0}},
                             Step{0, -1, {NAN, 2}}, Step{5, -1, {1, 0}}}) {
      Tensor losses({step.n}, DType::F32), exact({step.n}, DType::F64);
      for (std::int64_t i = 0; i < step.n; ++i) {
        const double loss = i == step.bad ? NAN : 1 + Rng{4, 1}.uniform(static_cast<std::uint64_t>(i));
        set_element(losses.view, i, loss);
        set_element(exact.view, i, element(losses.view, i));
      }
      host.scalars = {};
      host.scalars.step = ++t;
      const Tensor there = copy_to(cuda, losses.view);
      NormResult norm = step.norm;
      const Tensor norm_there = copy_to(cuda, TensorView(&norm, {sizeof(norm)}, DType::U8));
      const TensorView scalars(&host.scalars, {sizeof(StepScalars)}, DType::U8);
      copy(device.view.slice(0, 0, sizeof(StepScalars)), scalars);
      Workspace ref(Device::cpu(), Impl::Ref, 0, 0, 0), on(cuda, Impl::Cuda, 0, 0, 0);
      step_control(ref.ctx(), {&norm, exact.view, 2}, {&host.scalars, &host.report});
      auto* both = reinterpret_cast<Both*>(device.view.data);
      step_control(on.ctx(), {reinterpret_cast<const NormResult*>(norm_there.view.data), there.view, 2},
                   {&both->scalars, &both->report});
      const Tensor back = copy_to(Device::cpu(), device.view);
      const Both& got = *reinterpret_cast<const Both*>(back.view.data);
      EXPECT_EQ(got.scalars.halted, host.scalars.halted);
      EXPECT_EQ(got.scalars.grad_scale, host.scalars.grad_scale);
      EXPECT_EQ(got.report.step, host.report.step);
      EXPECT_EQ(got.report.halted, host.report.halted);
      EXPECT_EQ(got.report.bad_loss, host.report.bad_loss);
      EXPECT_EQ(got.report.non_finite, host.report.non_finite);
      if (bad < 0) { EXPECT_NEAR(got.report.loss, host.report.loss, 1e-12 * host.report.loss); }
    }
    EXPECT_EQ(host.report.halted, 1u);
  }
}

TEST(StepControlOnCuda, KeepsWhatGoodStepsLeave) {
  RT_NEEDS_DEVICE();
  const Device cuda = Device::cuda(0);
  Workspace on(cuda, Impl::Cuda, 0, 0, 0);
  for (const std::int64_t n : {16, 4096, 3000016}) {
    const Tensor numbers({n}, DType::U8);
    for (std::int64_t i = 0; i < n; ++i)
      numbers.view.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(i % 251 + 1);
    const Tensor from = copy_to(cuda, numbers.view), to({n}, DType::U8, cuda);
    for (const std::uint64_t halted : {1, 0}) {
      StepReport report{};
      report.halted = halted;
      const Tensor there = copy_to(cuda, TensorView(&report, {sizeof(report)}, DType::U8));
      keep_step(on.ctx(), {reinterpret_cast<const StepReport*>(there.view.data), from.view, to.view});
      on.ctx().stream.synchronize();
      const Tensor got = copy_to(Device::cpu(), to.view);
      for (std::int64_t i = 0; i < n; ++i)
        ASSERT_EQ(got.view.as<std::uint8_t>()[i], halted ? 0 : numbers.view.as<std::uint8_t>()[i])
            << i << " of " << n;
    }
  }
}

}  // namespace
}  // namespace rt::testing
