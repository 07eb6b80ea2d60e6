#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/train/trainer.h"
#include "tests/support/toy_run.h"

namespace rt::testing {

// Runs of toy_config(), each in its own directory of temp_.
class RunTest : public ::testing::Test {
 protected:
  explicit RunTest(const std::string& name) : temp_(name) {}
  void SetUp() override { log::set_level(log::Level::Off); }
  void TearDown() override { log::set_level(log::Level::Info); }

  // Runs to `last` from wherever the run directory is, saves, and returns the losses seen.
  std::vector<double> run(const RunConfig& c, std::uint64_t last) {
    Trainer trainer(c);
    std::vector<double> losses;
    while (trainer.progress().step < last) losses.push_back(trainer.step().loss);
    saved_ = trainer.save();
    return losses;
  }
  std::string bits() const { return run_bits(saved_); }

  // A run that is cut at k and resumed is the straight one, for each k. Returns the straight one's losses.
  std::vector<double> expect_resumes(const std::function<RunConfig(const std::string& name)>& named,
                                     std::uint64_t steps, const std::vector<std::uint64_t>& cuts) {
    std::vector<double> straight = run(named("straight"), steps);
    const std::string want = bits();
    EXPECT_FALSE(want.empty());
    for (const std::uint64_t k : cuts) {
      const RunConfig c = named("cut" + std::to_string(k));
      std::vector<double> losses = run(c, k);
      for (const double loss : run(c, steps)) losses.push_back(loss);
      EXPECT_EQ(losses, straight) << "resumed at " << k;
      EXPECT_TRUE(bits() == want) << "resumed at " << k;
    }
    return straight;
  }
  static std::vector<std::uint64_t> up_to(std::uint64_t n) {
    std::vector<std::uint64_t> all;
    for (std::uint64_t k = 0; k < n; ++k) all.push_back(k);
    return all;
  }

  // What construction says; empty when it accepts.
  std::string why_not(const RunConfig& c, Exit code) {
    try {
      Trainer trainer(c);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      return e.what();
    }
    return "";
  }

  TempDir temp_;
  std::filesystem::path saved_;  // the last checkpoint
};

}  // namespace rt::testing
