// What stands between a gradient and its update.
#include "rt/ops/step_control.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rt/core/host.h"
#include "rt/core/rng.h"
#include "tests/support/needs_device.h"

namespace rt::testing {
namespace {

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
    EXPECT_EQ(host.report.halted, Halt::NotFinite);
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
    for (const bool halted : {true, false}) {
      StepReport report{};
      report.halted = halted ? Halt::NotFinite : Halt::No;
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
