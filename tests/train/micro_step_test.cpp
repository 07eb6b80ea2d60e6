#include "rt/train/micro_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cuda/emulation/streams.h"
#include "rt/core/host.h"
#include "rt/core/log.h"
#include "tests/train/toy_stepper.h"

namespace rt {
namespace {

using testing::device;
using testing::has_graphs;
using testing::HostBatch;
using testing::kMicroBatches;
using testing::kScale;
using testing::Toy;

void expect_same_run(DType compute) {
  Toy recorded(true, compute), eager(false, compute);
  for (std::uint64_t step = 0; step < 4; ++step) {
    const std::vector<double> want = eager.step(step);
    EXPECT_EQ(recorded.step(step), want) << step;
    EXPECT_TRUE(std::isfinite(want.at(0)));
    EXPECT_EQ(recorded.gradients(), eager.gradients()) << step;
    EXPECT_EQ(recorded.stepper->replaying(), has_graphs()) << step;
    recorded.update(step);
    eager.update(step);
  }
  EXPECT_FALSE(eager.stepper->replaying());
  EXPECT_EQ(eager.objective->calls, 4 * kMicroBatches);
  // Of each kind one call that is not recorded and one that is, where there are graphs.
  EXPECT_EQ(recorded.objective->calls, has_graphs() ? 4 : 4 * kMicroBatches);
}

TEST(MicroStepper, GraphsChangeNoBit) { expect_same_run(DType::F32); }

TEST(MicroStepper, GraphsChangeNoBitInMixedPrecision) {
  if (device().kind == DeviceKind::Cpu) GTEST_SKIP() << "f32 only";
  expect_same_run(DType::BF16);
}

TEST(MicroStepper, WhatIsNotLikeTheRecordingIsNotReplayed) {
  Toy recorded(true), eager(false);
  const HostBatch usual(2, 16, 0), wide(3, 16, 1), shorter(2, 8, 2), other(2, 16, 3),
      no_reset(2, 16, 4, false);
  const auto both = [&](const HostBatch& batch, double scale, bool replayed) {
    for (const bool first : {true, false}) {
      const int calls = recorded.objective->calls;
      EXPECT_EQ(recorded.run(batch, first, scale), eager.run(batch, first, scale));
      EXPECT_EQ(recorded.gradients(), eager.gradients());
      EXPECT_EQ(recorded.objective->calls, calls + !(replayed && has_graphs()));
    }
  };
  both(usual, kScale, false);
  both(usual, kScale, false);  // recorded
  both(other, kScale, true);
  both(wide, kScale, false);
  both(shorter, kScale, false);
  both(no_reset, kScale, false);
  both(usual, kScale / 2, false);
  both(usual, kScale, true);
  {
    const ArenaScope moved(recorded.ws->ctx().saved);
    recorded.ws->ctx().saved.alloc({1}, DType::F32, "in the way");
    both(other, kScale, false);
  }
  both(other, kScale, true);
  // A step whose first micro-batch was left out: what the others add to is not there.
  recorded.store.clear_grads();
  eager.store.clear_grads();
  EXPECT_EQ(recorded.run(usual, false), eager.run(usual, false));
  EXPECT_EQ(recorded.gradients(), eager.gradients());
}

TEST(MicroStepper, OnlyTwoEqualCallsInARowAreRecorded) {
  Toy toy(true);
  const HostBatch usual(2, 16, 0), shorter(2, 8, 1);
  for (const HostBatch* batch : {&usual, &shorter, &usual, &shorter}) toy.run(*batch, true);
  EXPECT_FALSE(toy.stepper->replaying());
  toy.run(shorter, true);
  EXPECT_EQ(toy.stepper->replaying(), has_graphs());
}

TEST(MicroStepper, AnotherLengthIsRecordedInsteadOfTheOneBefore) {
  Toy recorded(true), eager(false);
  const HostBatch shorter(3, 8, 0), longer(2, 16, 1);
  for (const HostBatch* batch : {&shorter, &longer, &shorter}) {
    for (int call = 0; call < 4; ++call) {
      const int calls = recorded.objective->calls;
      for (const bool first : {true, false}) {
        EXPECT_EQ(recorded.run(*batch, first), eager.run(*batch, first)) << call;
        EXPECT_EQ(recorded.gradients(), eager.gradients()) << call;
      }
      EXPECT_EQ(recorded.objective->calls, calls + (call >= 2 && has_graphs() ? 0 : 2));
    }
  }
}

TEST(MicroStepper, TheFirstOverwritesAndTheOthersAdd) {
  Toy toy(true);
  const HostBatch batch(2, 16, 0);
  std::vector<std::vector<double>> once, twice;
  for (int repeat = 0; repeat < 4; ++repeat) {  // eager, recorded, replayed twice
    toy.run(batch, true);
    const auto first = toy.gradients();
    toy.run(batch, false);
    const auto second = toy.gradients();
    if (repeat == 0) {
      once = first;
      twice = second;
      for (std::size_t p = 0; p < once.size(); ++p) {
        ASSERT_EQ(once[p].size(), twice[p].size());
        double change = 0, size = 0;
        for (std::size_t i = 0; i < once[p].size(); ++i) {
          change += std::pow(twice[p][i] - 2 * once[p][i], 2);
          size += std::pow(once[p][i], 2);
        }
        EXPECT_LE(change, 1e-8 * size) << toy.store.parameters()[p]->name;
      }
    }
    EXPECT_EQ(first, once) << repeat;
    EXPECT_EQ(second, twice) << repeat;
  }
}

// On a device a batch is somewhere else when give() returns, whenever the device comes to it.
TEST(MicroStepper, ABatchIsFreeForReuse) {
  namespace emu = cuda::emu;
  if (device().kind == DeviceKind::Cpu) GTEST_SKIP() << "computes while it is given";
  Toy toy(true), waiting(false);
  HostBatch batch(2, 16, 0);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    if (emu::set_haste) emu::set_haste(seed == 0 ? emu::Haste::None : emu::Haste::Random, seed);
    std::vector<double> want;
    for (int micro = 0; micro < 3; ++micro) {
      const HostBatch source(2, 16, 10 * seed + micro);
      for (const auto& [to, from] :
           {std::pair(&batch.tokens, &source.tokens), std::pair(&batch.targets, &source.targets),
            std::pair(&batch.reset, &source.reset)}) {
        copy(to->view, from->view);
      }
      toy.stepper->give(batch.view(), kScale, micro == 0);
    }
    const HostTensor losses(toy.stepper->take_losses());
    for (int micro = 0; micro < 3; ++micro) {
      for (const double loss : waiting.run(HostBatch(2, 16, 10 * seed + micro), micro == 0))
        want.push_back(loss);
    }
    ASSERT_EQ(losses.view().numel(), 6);
    for (std::int64_t i = 0; i < 6; ++i) EXPECT_EQ(element(losses.view(), i), want[i]) << seed << " " << i;
    EXPECT_EQ(toy.gradients(), waiting.gradients());
  }
  if (emu::set_haste) emu::set_haste(emu::Haste::AtOnce);
}

struct Quiet {
  Quiet() { log::set_level(log::Level::Off); }
  ~Quiet() { log::set_level(log::Level::Info); }
};

TEST(MicroStepper, AFailedRecordingRunsEagerlyFromThenOn) {
  const Quiet quiet;
  Toy recorded(true), eager(false);
  recorded.objective->waits = true;
  for (std::uint64_t step = 0; step < 3; ++step) {
    EXPECT_EQ(recorded.step(step), eager.step(step)) << step;
    EXPECT_EQ(recorded.gradients(), eager.gradients()) << step;
  }
  EXPECT_FALSE(recorded.stepper->replaying());
  // One was run for a recording in vain.
  EXPECT_EQ(recorded.objective->calls, eager.objective->calls + has_graphs());
}

TEST(MicroStepper, AnExceptionWhileRecordingRunsItEagerly) {
  const Quiet quiet;
  Toy recorded(true), eager(false);
  const HostBatch batch(2, 16, 0);
  recorded.objective->throws_in = has_graphs() ? 2 : -1;
  for (int call = 0; call < 3; ++call) {
    EXPECT_EQ(recorded.run(batch, true), eager.run(batch, true)) << call;
    EXPECT_EQ(recorded.gradients(), eager.gradients()) << call;
  }
  EXPECT_FALSE(recorded.stepper->replaying());
  recorded.objective->throws_in = recorded.objective->calls + 1;
  EXPECT_THROW(recorded.run(batch, true), std::runtime_error);
  EXPECT_EQ(recorded.run(batch, true), eager.run(batch, true));
}

}  // namespace
}  // namespace rt
