// The host runs ahead of the device: the same run as when it waits for every step.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "cuda/emulation/streams.h"
#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/io/checkpoint.h"
#include "rt/train/signals.h"
#include "rt/train/trainer.h"
#include "tests/support/toy_run.h"

namespace rt {
namespace {

namespace emu = cuda::emu;
namespace fs = std::filesystem;
using testing::file_bytes;
using testing::run_bits;
using testing::TempDir;
using testing::toy_config;

constexpr int kSteps = 6;

class RunAhead : public ::testing::Test {
 protected:
  void SetUp() override { log::set_level(log::Level::Off); }
  void TearDown() override {
    log::set_level(log::Level::Info);
    if (emu::set_haste) emu::set_haste(emu::Haste::AtOnce);
  }
  // Of streams whose work lies until somebody waits for it, or by a seed until some time before.
  static void be_lazy(std::uint64_t seed = 0) {
    if (emu::set_haste) emu::set_haste(seed == 0 ? emu::Haste::None : emu::Haste::Random, seed);
  }
  static void be_quick() {
    if (emu::set_haste) emu::set_haste(emu::Haste::AtOnce);
  }

  RunConfig config(const std::string& run, int steps = kSteps, const std::string& extra = "") const {
    return RunConfig::parse(toy_config(temp_.path(), temp_.path() / run, steps, extra), run);
  }
  static void carry(RunConfig& c) {
    c.data.order = config::Order::Sequential;
    c.data.document_state = config::DocumentState::Carry;
  }
  // The bits after `steps` steps, each waited for.
  std::string waited_for(const RunConfig& c, std::uint64_t steps) const {
    be_quick();
    Trainer trainer(c);
    while (trainer.progress().step < steps) trainer.step();
    return run_bits(trainer.save());
  }

  TempDir temp_{"rt-ahead"};
};

TEST_F(RunAhead, ChangesNoBit) {
  const auto with_bf16_moments = [&](const std::string& run) {
    RunConfig c = config(run);
    c.optimizer.moments = DType::BF16;
    carry(c);
    return c;
  };
  const std::string want = waited_for(with_bf16_moments("waits"), kSteps);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    be_lazy(seed);
    Trainer trainer(with_bf16_moments("ahead" + std::to_string(seed)));
    while (trainer.progress().step < kSteps) ASSERT_TRUE(trainer.give());
    EXPECT_TRUE(run_bits(trainer.save()) == want) << seed;
  }
}

TEST_F(RunAhead, SettlingTellsTheLastStep) {
  std::vector<double> want;
  {
    Trainer trainer(config("waits"));
    for (int i = 0; i < kSteps; ++i) want.push_back(trainer.step().loss);
  }
  be_lazy();
  Trainer trainer(config("ahead"));
  for (const std::size_t steps : {1u, 4u, 5u, 6u}) {
    while (trainer.progress().step < steps) trainer.give();
    for (int again = 0; again < 2; ++again) EXPECT_EQ(trainer.settle().loss, want[steps - 1]);
  }
}

TEST_F(RunAhead, NobodyWaitsBetweenSettlements) {
  if (!emu::host_stops) GTEST_SKIP() << "counted by the emulation";
  Trainer trainer(config("counted"));
  be_lazy();
  trainer.give();  // allocates and records
  trainer.give();
  trainer.settle();
  const emu::HostStops before = emu::host_stops();
  for (int i = 0; i < 6; ++i) trainer.give();
  const emu::HostStops given = emu::host_stops();
  EXPECT_EQ(given.waits, before.waits);
  EXPECT_EQ(given.pageable, before.pageable);
  EXPECT_GT(given.events, before.events) << "it may run ahead only so far";
  trainer.settle();
  EXPECT_EQ(emu::host_stops().waits, given.waits + 1);
  trainer.settle();
  EXPECT_EQ(emu::host_stops().waits, given.waits + 1);
}

TEST_F(RunAhead, ThePlanIsWhatTheDeviceHolds) {
  if (!emu::device_bytes) GTEST_SKIP() << "counted by the emulation";
  const std::size_t before = emu::device_bytes();
  for (const DType moments : {DType::F32, DType::BF16}) {
    RunConfig c = config(std::string(name(moments)));
    c.optimizer.moments = moments;
    if (moments == DType::BF16) carry(c);
    Trainer trainer(c);
    for (int i = 0; i < 3; ++i) trainer.give();
    EXPECT_EQ(emu::device_bytes() - before, trainer.plan().total());
  }
}

// The first step makes weights of 1e30, the second has no finite loss: whatever was given after it.
TEST_F(RunAhead, ABadStepStopsAllThatWereGivenAfterIt) {
  const auto diverge = [&](const std::string& name, bool ahead) {
    RunConfig c = config(name);
    c.optimizer.lr = 1e30;
    carry(c);
    ahead ? be_lazy() : be_quick();
    Trainer trainer(c);
    std::string said;
    try {
      for (int i = 0; i < 6; ++i) ahead ? void(trainer.give()) : void(trainer.step());
      trainer.settle();
      ADD_FAILURE() << "must stop";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Exit::NonFinite);
      said = e.what();
    }
    EXPECT_EQ(trainer.progress().step, 1u);
    EXPECT_EQ(trainer.progress().tokens, 48u);
    const fs::path saved = temp_.path() / name / "checkpoints" / io::checkpoint_name(1);
    std::string all = run_bits(saved) + file_bytes(temp_.path() / name / "bad" / "step-1.safetensors");
    EXPECT_TRUE(run_bits(trainer.save()) == run_bits(saved));
    return std::pair(all, said.substr(0, said.find("saved to")));
  };
  const auto [want, said] = diverge("waits", false);
  const auto [got, also_said] = diverge("ahead", true);
  EXPECT_EQ(also_said, said);
  EXPECT_TRUE(got == want);
  EXPECT_NE(said.find("step 1: loss "), std::string::npos) << said;
}

TEST_F(RunAhead, AnInterruptedFitSavesWhatItGave) {
  const auto endless = [&](const std::string& run) {
    RunConfig c = config(run, 1000000);
    c.log.every = config::steps(1000000);
    c.checkpoint.every.steps = 5;
    return c;
  };
  std::uint64_t step = 0;
  std::string got;
  {
    be_lazy();
    Trainer trainer(endless("stopped"));
    const fs::path root = temp_.path() / "stopped" / "checkpoints";
    std::thread other([&] {
      while (!fs::exists(root / io::checkpoint_name(10)))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      kill(getpid(), SIGTERM);
    });
    EXPECT_EQ(trainer.fit(), Exit::Interrupted);
    other.join();
    const SignalGuard forgotten;
    step = trainer.progress().step;
    ASSERT_GE(step, 10u);
    got = run_bits(root / io::checkpoint_name(step));
  }
  ASSERT_FALSE(got.empty());
  EXPECT_TRUE(got == waited_for(endless("whole"), step)) << step;
}

// What fit() logs is what each step gave.
TEST_F(RunAhead, LogsTheStepsItLogs) {
  std::vector<double> want;
  {
    Trainer trainer(config("waits"));
    for (int i = 0; i < kSteps; ++i) want.push_back(trainer.step().loss);
  }
  RunConfig c = config("ahead");
  c.log.every = config::steps(4);
  be_lazy();
  {
    Trainer trainer(c);
    EXPECT_EQ(trainer.fit(), Exit::Ok);
  }
  std::ifstream metrics(temp_.path() / "ahead" / "metrics.jsonl");
  std::vector<std::size_t> logged;
  for (std::string line; std::getline(metrics, line);) {
    const auto entry = nlohmann::json::parse(line);
    if (entry.contains("event")) continue;
    logged.push_back(entry["step"].get<std::size_t>());
    EXPECT_EQ(entry["loss"].get<double>(), want.at(logged.back() - 1)) << line;
    EXPECT_GT(entry["tokens_per_s"].get<double>(), 0) << line;
  }
  EXPECT_EQ(logged, (std::vector<std::size_t>{4, 6}));
}

}  // namespace
}  // namespace rt
