#include <gtest/gtest.h>

#include <cmath>

#include "rt/core/host.h"
#include "rt/core/parallel.h"
#include "rt/io/archive.h"
#include "rt/io/checkpoint.h"
#include "tests/train/run_test.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using testing::file_bytes;
using testing::toy_config;

constexpr int kSteps = 12;  // two epochs of six steps

class Resume : public testing::RunTest {
 protected:
  Resume() : RunTest("rt-resume") {}
  RunConfig config(const std::string& run, const std::string& extra = "") {
    return RunConfig::parse(toy_config(temp_.path(), temp_.path() / run, kSteps, extra), run);
  }
};

TEST_F(Resume, AtEveryStepGivesTheSameBits) {
  for (const DType moments : {DType::F32, DType::BF16}) {
    const auto named = [&](const std::string& run) {
      RunConfig c = config(std::string(name(moments)) + run);
      c.optimizer.moments = moments;
      return c;
    };
    const std::vector<double> straight = expect_resumes(named, kSteps, up_to(kSteps));
    ASSERT_EQ(straight.size(), static_cast<std::size_t>(kSteps));
    EXPECT_LT(straight.back(), straight.front());
  }
}

// Half the memory, half the file, the same learning.
TEST_F(Resume, MomentsInBf16) {
  RunConfig whole = config("f32"), half = config("bf16");
  half.optimizer.moments = DType::BF16;
  for (RunConfig* c : {&whole, &half}) c->budget.steps = 40;
  const std::vector<double> want = run(whole, 40);
  const auto whole_file = fs::file_size(saved_ / "optimizer.safetensors");
  const std::vector<double> got = run(half, 40);
  EXPECT_EQ(got.front(), want.front());
  EXPECT_NE(got.back(), want.back());
  EXPECT_LT(want.back(), 0.8 * want.front());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 0.02 * want[i]) << i;

  EXPECT_LT(static_cast<double>(fs::file_size(saved_ / "optimizer.safetensors")), 0.6 * double(whole_file));
  const io::TensorArchive moments = io::open_archive(saved_ / "optimizer.safetensors");
  for (const io::TensorInfo& tensor : moments.tensors()) EXPECT_EQ(tensor.dtype, io::FileDType::BF16);
  const auto planned = [](const RunConfig& c) { return Trainer(c).plan().optimizer; };
  EXPECT_EQ(2 * planned(half), planned(whole));
}

TEST_F(Resume, MomentsMayChangeTheirKindWhenAllowed) {
  RunConfig c = config("kind");
  run(c, 3);
  for (const DType moments : {DType::BF16, DType::F32}) {
    c.optimizer.moments = moments;
    c.checkpoint.allow_change = {};
    EXPECT_THROW(run(c, 5), Error);
    c.checkpoint.allow_change = {config::ChangeClass::Lr};
    EXPECT_EQ(run(c, moments == DType::BF16 ? 5 : 7).size(), 2u);
  }
}

TEST_F(Resume, ThreadsMicroBatchesAndRecomputeChangeNoBit) {
  set_num_threads(1);
  run(config("one"), kSteps);
  const std::string want = bits();
  set_num_threads(2);
  run(config("two"), kSteps);
  EXPECT_TRUE(bits() == want) << "threads";
  if (run_device(config("one")).kind == DeviceKind::Cpu) {  // elsewhere products sum over all rows at once
    RunConfig whole = config("whole");
    whole.batch.micro_sequences = 3;
    run(whole, kSteps);
    EXPECT_TRUE(bits() == want) << "micro-batches";
  }
  run(config("recompute", "parallel: {recompute: block}\n"), kSteps);
  EXPECT_TRUE(bits() == want) << "recompute";
}

TEST_F(Resume, RefusesAChangedConfigUnlessAllowed) {
  const RunConfig c = config("changed");
  run(c, 3);
  RunConfig other = c;
  other.optimizer.lr = 1e-3;
  try {
    run(other, kSteps);
    FAIL() << "must refuse";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Config);
    EXPECT_NE(std::string(e.what()).find("optimizer.lr"), std::string::npos) << e.what();
  }
  other.checkpoint.allow_change = {config::ChangeClass::Lr};
  EXPECT_EQ(run(other, kSteps).size(), static_cast<std::size_t>(kSteps - 3));
}

TEST_F(Resume, RefusesOtherData) {
  const RunConfig c = config("data");
  run(c, 3);
  std::ofstream(temp_.path() / "toy.txt", std::ios::app) << "more text at the end";
  EXPECT_THROW(run(c, kSteps), Error);
}

TEST_F(Resume, FallsBackFromADamagedCheckpoint) {
  const RunConfig c = config("damaged");
  run(c, kSteps);
  const std::string want = bits();
  const RunConfig d = config("damaged2");
  run(d, 4);
  run(d, 8);
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    std::string bytes = file_bytes(saved_ / file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    std::ofstream(saved_ / file, std::ios::binary) << bytes;
    try {
      io::verify_checkpoint(saved_);
      FAIL() << file;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Exit::Checkpoint);
      EXPECT_NE(std::string(e.what()).find(file), std::string::npos) << e.what();
    }
    EXPECT_EQ(run(d, 8).size(), 4u) << "from step 4";
  }
  run(d, kSteps);
  EXPECT_TRUE(bits() == want);
}

TEST_F(Resume, NonFiniteLossLeavesTheWeightsAndKeepsTheBatch) {
  const RunConfig c = config("nan");
  Trainer trainer(c);
  trainer.step();
  const fs::path before = trainer.save();
  const std::string model = file_bytes(before / "model.safetensors");
  const Parameter* weight = trainer.parameters().find("blocks.1.att.receptance.weight");
  const HostTensor value(weight->value);  // what is computed with: the master itself, or its copy
  const double keep = element(value.view(), 3);
  set_element(value.view(), 3, NAN);
  value.write_back();
  try {
    trainer.step();
    FAIL() << "must stop";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::NonFinite);
    EXPECT_NE(std::string(e.what()).find("step 1"), std::string::npos) << e.what();
  }
  EXPECT_TRUE(fs::exists(temp_.path() / "nan" / "bad" / "step-1.safetensors"));
  set_element(value.view(), 3, keep);
  value.write_back();
  EXPECT_TRUE(file_bytes(trainer.save() / "model.safetensors") == model);
}

TEST_F(Resume, SameAddressesEveryStep) {
  RunConfig c = config("plan");
  Trainer trainer(c);
  const Plan& plan = trainer.plan();
  trainer.step();
  trainer.step();
  // The arenas were allocated to the plan's exact size: a step that needed one byte more would have thrown.
  EXPECT_GT(plan.saved, 0u);
  EXPECT_EQ(plan.accumulation, 3);
}

}  // namespace
}  // namespace rt
