// What a run does about steps that are not finite, or far from those before them.
#include <cmath>

#include "rt/core/host.h"
#include "rt/io/archive.h"
#include "tests/train/run_test.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using testing::toy_config;

constexpr std::uint64_t kSteps = 16, kLong = 36;

class Stability : public testing::RunTest {
 protected:
  Stability() : RunTest("rt-stability") {
    // 18 sequences of 16 bytes, three a step: all alike but for one, which alone has a Z.
    std::ofstream out(temp_.path() / "toy.txt");
    for (int i = 0; i < 289; ++i) {
      const bool odd = i / 16 == 7;
      out << static_cast<char>(!odd ? "abcd"[i % 4] : i % 16 == 8 ? 'Z' : 'a' + i * i * 7 % 26);
    }
  }

  RunConfig config(const std::string& name, const std::string& stability) const {
    RunConfig c = RunConfig::parse(toy_config(temp_.path(), temp_.path() / name, static_cast<int>(kSteps),
                                              "stability: " + stability + "\n"),
                                   name);
    c.checkpoint.every.steps = 3;
    c.checkpoint.keep.last = 100;
    return c;
  }

  // Whoever reads a Z gets no number out of the model.
  static void poison(Trainer& trainer) {
    const Parameter* embedding = trainer.parameters().find("emb.weight");
    for (const TensorView& view : {embedding->master, embedding->value}) {
      const HostTensor host(view);
      set_element(host.view(), 'Z' * view.shape[1], NAN);
      host.write_back();
    }
  }

  // From wherever the run is; a checkpoint before the first step and after every third.
  RunProgress train(const RunConfig& c, bool poisoned, std::uint64_t last = kSteps, int ahead = 0) {
    Trainer trainer(c);
    if (trainer.progress().step == 0) {
      if (poisoned) poison(trainer);
      trainer.save();
    }
    while (trainer.progress().step < last) {
      for (int i = 0; i < ahead && trainer.progress().step + 1 < last; ++i) trainer.give();
      losses_.push_back(trainer.step().loss);
      if (trainer.progress().step % 3 == 0) trainer.save();
    }
    saved_ = trainer.save();
    return trainer.progress();
  }

  void expect_finite_but_for_z() const {
    const io::TensorArchive weights = io::open_archive(saved_ / "model.safetensors");
    int bad = 0;
    for (const io::TensorInfo& info : weights.tensors()) {
      const Tensor values(info.shape, DType::F32);
      weights.read_part(info.name, 0, values.view.reshape({values.view.numel()}));
      for (std::int64_t i = 0; i < values.view.numel(); ++i) bad += !std::isfinite(element(values.view, i));
    }
    EXPECT_EQ(bad, 1);
  }

  std::vector<double> losses_;
};

TEST_F(Stability, BadStepsAreSkipped) {
  const RunConfig c = config("skip", "{nonfinite: skip}");
  const RunProgress done = train(c, true);
  EXPECT_EQ(done.step, kSteps);
  EXPECT_EQ(done.tokens, kSteps * 48);
  EXPECT_EQ(done.skipped, 3U);  // one in each of two epochs and of four steps of the third
  EXPECT_EQ(std::count_if(losses_.begin(), losses_.end(), [](double x) { return !std::isfinite(x); }), 3);
  expect_finite_but_for_z();
  const std::string want = bits();

  // The same run, stopped and started again after every third step, and with more given than was looked at.
  const RunConfig again = config("again", "{nonfinite: skip}");
  for (std::uint64_t step = 1; step <= kSteps; step += 3) train(again, true, step);
  EXPECT_TRUE(bits() == want);
  train(config("ahead", "{nonfinite: skip}"), true, kSteps, 2);
  EXPECT_TRUE(bits() == want);
}

TEST_F(Stability, WhatIsAlwaysBadStops) {
  RunConfig c = config("diverges", "{nonfinite: skip}");
  c.optimizer.lr = 1e30;
  try {
    train(c, false);
    FAIL() << "must stop";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::NonFinite);
    EXPECT_NE(std::string(e.what()).find("The 3 steps before it were skipped"), std::string::npos)
        << e.what();
  }
}

TEST_F(Stability, ARunGoesBackAndComesByWithoutTheBatch) {
  const std::string rule = "{nonfinite: rollback, rollback: {max: 9}}";
  const RunProgress done = train(config("back", rule), true);
  const std::string want = bits();
  EXPECT_EQ(done.step, kSteps);
  EXPECT_EQ(done.tokens, kSteps * 48);
  EXPECT_EQ(done.rollbacks, done.skips.size());
  ASSERT_GE(done.rollbacks, 2U);
  expect_finite_but_for_z();

  // It is the run that knew from the beginning what not to read.
  {
    Trainer knows(config("knows", "{nonfinite: stop}"));
    poison(knows);
    const_cast<RunProgress&>(knows.progress()).skips = done.skips;
    while (knows.progress().step < kSteps) EXPECT_TRUE(std::isfinite(knows.step().loss));
    saved_ = knows.save();
  }
  EXPECT_TRUE(bits() == want);

  const RunConfig again = config("again", rule);
  for (std::uint64_t step = 1; step <= kSteps; step += 3) train(again, true, step);
  EXPECT_TRUE(bits() == want);
}

TEST_F(Stability, BackIsPossibleOnlySoOften) {
  const auto stops = [&](const RunConfig& c, std::uint64_t first, const std::string& words) {
    try {
      Trainer trainer(c);
      poison(trainer);
      while (trainer.progress().step < kSteps) {
        trainer.step();
        if (first > 0 && trainer.progress().step % first == 0) trainer.save();
      }
      FAIL() << "must stop";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Exit::NonFinite);
      EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << e.what();
    }
  };
  stops(config("never", "{nonfinite: rollback}"), 0, "There is no checkpoint to go back to");
  stops(config("once", "{nonfinite: rollback, rollback: {max: 1}}"), 1, "It has gone back 1 times already");
}

// The odd sequence, once the others are known by heart.
TEST_F(Stability, SpikesAreSeenSkippedAndGoneBackFrom) {
  const auto run_with = [&](const std::string& name, const std::string& action, std::uint64_t last = kLong,
                            int ahead = 0) {
    RunConfig c =
        config(name, "{spike: {window: 4, sigma: 25, action: " + action + "}, rollback: {max: 99}}");
    c.budget.steps = kLong;
    c.optimizer.lr = 1e-2;
    return train(c, false, last, ahead);
  };
  EXPECT_TRUE(run_with("none", "none").window.empty());
  const std::string plain = bits();
  const RunProgress seen = run_with("log", "log");
  EXPECT_TRUE(bits() == plain);  // looking changes nothing
  EXPECT_EQ(seen.window.size(), 4U);
  EXPECT_EQ(seen.skipped + seen.rollbacks, 0U);

  const RunProgress skipped = run_with("skip", "skip");
  EXPECT_GE(skipped.skipped, 2U);
  EXPECT_LE(skipped.skipped, 12U);
  EXPECT_FALSE(bits() == plain);
  const std::string want = bits();
  for (std::uint64_t step = 6; step <= kLong; step += 6) run_with("again", "skip", step);
  EXPECT_TRUE(bits() == want);
  run_with("ahead", "skip", kLong, 2);
  EXPECT_TRUE(bits() == want);

  const RunProgress back = run_with("back", "rollback");
  EXPECT_GE(back.rollbacks, 2U);
  EXPECT_EQ(back.step, kLong);
  EXPECT_FALSE(bits() == plain);
}

}  // namespace
}  // namespace rt
