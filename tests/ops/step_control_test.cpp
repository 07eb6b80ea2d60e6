#include "rt/ops/step_control.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rt/core/exec.h"

namespace {

using rt::DType;
using rt::Impl;
using rt::StepReport;
using rt::StepScalars;

// The control of one run: what it makes of steps that come one after the other.
struct Control {
  Impl impl;
  StepScalars scalars{};
  StepReport report{};
  std::uint64_t t = 0;

  void step(const std::vector<double>& losses, double sum_squares, std::int64_t non_finite = 0,
            double clip = 1) {
    const rt::NormResult norm{sum_squares, non_finite};
    rt::Tensor values({static_cast<std::int64_t>(losses.size())},
                      impl == Impl::Ref ? DType::F64 : DType::F32);
    for (std::size_t i = 0; i < losses.size(); ++i)
      rt::set_element(values.view, static_cast<std::int64_t>(i), losses[i]);
    scalars = {};
    scalars.step = ++t;
    rt::Workspace ws(rt::Device::cpu(), impl, 0, 0, 0);
    rt::step_control(ws.ctx(), {&norm, losses.empty() ? rt::TensorView() : values.view, clip},
                     {&scalars, &report});
  }
};

class StepControl : public ::testing::TestWithParam<Impl> {
 protected:
  Control control_{GetParam()};
};

// The last eight steps, by hand: none is too far before four have been seen, and a bad one is not counted.
TEST_P(StepControl, TooFarAboveTheStepsBeforeIt) {
  rt::SpikeWindow window{};
  const auto step = [&](double loss, double norm, bool halts = false) {
    const rt::NormResult found{norm * norm, 0};
    rt::Tensor values({1}, GetParam() == Impl::Ref ? DType::F64 : DType::F32);
    rt::set_element(values.view, 0, 2 * loss);
    const double predictions = 2;
    control_.scalars = {};
    control_.scalars.step = ++control_.t;
    rt::StepControlArgs args{&found, values.view, 0};
    args.predictions = &predictions;
    args.spike = {8, 3, halts};
    rt::Workspace ws(rt::Device::cpu(), GetParam(), 0, 0, 0);
    rt::step_control(ws.ctx(), args, {&control_.scalars, &control_.report, &window});
    return control_.report.spikes;
  };
  EXPECT_EQ(step(100, 1), 0U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(step(i % 2 ? 1.5 : 1.0, 2), 0U);
  // Mean 1.25 and deviation 0.29 once 100 is out of the window.
  for (int i = 0; i < 7; ++i) EXPECT_EQ(step(i % 2 ? 1.0 : 1.5, 2), 0U) << i;
  EXPECT_EQ(step(2.0, 2), 0U);  // 2.6 deviations
  EXPECT_EQ(step(1.0, 2), 0U);
  EXPECT_EQ(step(9.0, 2), 1U);
  EXPECT_EQ(control_.report.spike.loss, 9.0);
  EXPECT_EQ(control_.report.spike_step, control_.t);
  EXPECT_EQ(control_.report.halted, rt::Halt::No);
  EXPECT_EQ(control_.scalars.halted, 0U);
  EXPECT_EQ(step(1.0, 2.1), 2U);  // of the norm, which has not moved so far
  const std::uint64_t seen = window.count;
  EXPECT_EQ(step(NAN, 2), 2U);
  EXPECT_EQ(control_.report.halted, rt::Halt::NotFinite);
  EXPECT_EQ(window.count, seen);
  control_.report = {};
  EXPECT_EQ(step(1.0, 50, true), 1U);
  EXPECT_EQ(control_.report.halted, rt::Halt::Spike);
  EXPECT_NE(control_.scalars.halted, 0U);
  EXPECT_EQ(window.count, seen + 1);
  // What was given after it is not looked at.
  EXPECT_EQ(step(1.0, 2), 1U);
  EXPECT_EQ(window.count, seen + 1);
  EXPECT_NE(control_.scalars.halted, 0U);
}

// Four units among three processes, whose micro-batches of two take turns; the last one has one less.
TEST_P(StepControl, ReadsWhatSeveralProcessesFound) {
  struct Found {
    rt::NormResult norms[4];
    double losses[6];  // as f32 where the backend has it so
  };
  const DType dtype = GetParam() == Impl::Ref ? DType::F64 : DType::F32;
  const auto size = static_cast<std::int64_t>(rt::size_of(dtype));
  constexpr std::int64_t kMicro = 8, kRows = 2;
  std::vector<Found> all(3);
  double squares = 0, loss = 0;
  for (std::int64_t unit = 0; unit < 4; ++unit) {
    rt::NormTree tree;
    for (std::size_t r = 0; r < 3; ++r) {
      all[r].norms[unit] = {1.0 / static_cast<double>(3 + unit + 5 * static_cast<std::int64_t>(r)), 0};
      tree.push(all[r].norms[unit]);
    }
    squares += tree.total().sum_squares;
  }
  for (std::int64_t i = 0; i < kMicro * kRows; ++i) {
    const std::int64_t micro = i / kRows, at = micro / 3 * kRows + i % kRows;
    auto* place = reinterpret_cast<std::byte*>(all[static_cast<std::size_t>(micro % 3)].losses) + at * size;
    rt::set_element(rt::TensorView(place, {1}, dtype), 0, static_cast<double>(i + 1));
    loss += static_cast<double>(i + 1);
  }
  rt::StepControlArgs args{all[0].norms, rt::TensorView(all[0].losses, {kMicro * kRows}, dtype), 1};
  args.units = 4;
  args.ranks = args.norm_ranks = 3;
  args.stride = sizeof(Found);
  args.rows = kRows;
  rt::Workspace ws(rt::Device::cpu(), GetParam(), 0, 0, 0);
  StepScalars scalars{};
  StepReport report{};
  rt::step_control(ws.ctx(), args, {&scalars, &report});
  EXPECT_EQ(report.loss, loss);
  EXPECT_EQ(report.sum_squares, squares);
  EXPECT_EQ(report.bad_loss, -1);
  // Sequence 9 of all: the second of micro-batch 4, the second one of rank 1.
  auto* bad = reinterpret_cast<std::byte*>(all[1].losses) + 3 * size;
  rt::set_element(rt::TensorView(bad, {1}, dtype), 0, NAN);
  rt::step_control(ws.ctx(), args, {&scalars, &report});
  EXPECT_EQ(report.bad_loss, 9);
  EXPECT_EQ(report.halted, rt::Halt::NotFinite);
}

TEST_P(StepControl, ClipsAsTorchDoes) {
  control_.step({}, 9);
  EXPECT_EQ(control_.scalars.grad_scale, static_cast<float>(1 / (3 + 1e-6)));
  control_.step({}, 0.25);
  EXPECT_EQ(control_.scalars.grad_scale, 1.0f);
  control_.step({}, 9, 0, 4);
  EXPECT_EQ(control_.scalars.grad_scale, 1.0f);
  control_.step({}, 9, 0, 0);
  EXPECT_EQ(control_.scalars.grad_scale, 1.0f);
  control_.step({}, 0);
  EXPECT_EQ(control_.scalars.grad_scale, 1.0f);
  EXPECT_EQ(control_.scalars.halted, 0u);
}

TEST_P(StepControl, ReportsTheLastStep) {
  control_.step({1, 2, 3.5}, 4);
  control_.step({4, 5}, 16);
  EXPECT_EQ(control_.report.step, 2u);
  EXPECT_EQ(control_.report.loss, 9);
  EXPECT_EQ(control_.report.sum_squares, 16);
  EXPECT_EQ(control_.report.non_finite, 0);
  EXPECT_EQ(control_.report.bad_loss, -1);
  EXPECT_EQ(control_.report.halted, rt::Halt::No);
  EXPECT_EQ(control_.scalars.halted, 0u);
}

TEST_P(StepControl, ABadStepHaltsAllThatFollow) {
  control_.step({1, 2}, 4);
  control_.step({1, INFINITY, NAN}, 5);
  for (int later = 0; later < 3; ++later) {
    EXPECT_NE(control_.scalars.halted, 0u);
    EXPECT_EQ(control_.report.halted, rt::Halt::NotFinite);
    EXPECT_EQ(control_.report.step, 2u);
    EXPECT_EQ(control_.report.bad_loss, 1);
    EXPECT_EQ(control_.report.sum_squares, 5);
    EXPECT_FALSE(std::isfinite(control_.report.loss));
    control_.step({1, 2}, 4);  // good by itself
  }
}

TEST_P(StepControl, SoDoesABadGradient) {
  control_.step({1, 2}, NAN, 7);
  EXPECT_NE(control_.scalars.halted, 0u);
  EXPECT_EQ(control_.report.step, 1u);
  EXPECT_EQ(control_.report.loss, 3);
  EXPECT_EQ(control_.report.non_finite, 7);
  EXPECT_EQ(control_.report.bad_loss, -1);
  control_.report = {};
  control_.step({1, 2}, 4);
  EXPECT_EQ(control_.scalars.halted, 0u);
}

TEST_P(StepControl, KeepsWhatGoodStepsLeave) {
  rt::Workspace ws(rt::Device::cpu(), GetParam(), 0, 0, 0);
  rt::Tensor from({48}, DType::U8), to({48}, DType::U8);
  for (int i = 0; i < 48; ++i) from.view.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(i + 1);
  control_.step({1}, NAN, 1);
  rt::keep_step(ws.ctx(), {&control_.report, from.view, to.view});
  for (int i = 0; i < 48; ++i) ASSERT_EQ(to.view.as<std::uint8_t>()[i], 0) << i;
  control_.report = {};
  control_.step({1}, 4);
  rt::keep_step(ws.ctx(), {&control_.report, from.view, to.view});
  for (int i = 0; i < 48; ++i) ASSERT_EQ(to.view.as<std::uint8_t>()[i], i + 1) << i;
}

INSTANTIATE_TEST_SUITE_P(All, StepControl, ::testing::Values(Impl::Ref, Impl::Cpu),
                         [](const auto& impl) { return std::string(rt::name(impl.param)); });

}  // namespace
