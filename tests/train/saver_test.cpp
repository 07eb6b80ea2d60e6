#include "rt/train/saver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "rt/core/log.h"
#include "rt/io/testing.h"
#include "rt/nn/language_model.h"
#include "tests/support/model_harness.h"
#include "tests/support/toy_run.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using io::testing::FileOp;

class SaverTest : public ::testing::Test {
 protected:
  SaverTest() : temp_("rt-saver"), store_(Device::cpu(), {}), model_(testing::tiny_spec(20), store_.root()) {
    log::set_level(log::Level::Off);
    store_.allocate();
    store_.initialize(Rng{1, 0});
    optimizer_ = std::make_unique<AdamW>(store_, AdamWOptions{});
  }
  ~SaverTest() override {
    io::testing::set_fault_hook({});
    log::set_level(log::Level::Info);
  }
  Saver saver(bool background) {
    return {{temp_.path(), "version: 1\n", &store_, optimizer_.get(), nullptr, tokenizer_.get(), &team_, {}},
            background};
  }
  testing::TempDir temp_;
  ParamStore store_;
  LanguageModel model_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<data::Tokenizer> tokenizer_ = data::make_byte_tokenizer();
  Team team_;
};

// The disk stands still until the other thread, which trains, has gone on.
TEST_F(SaverTest, BeginDoesNotWaitForTheDisk) {
  std::atomic<bool> moves{false}, stood{false};
  io::testing::set_fault_hook([&](const io::testing::FileEvent& event) {
    if (event.op == FileOp::Write && !event.done) {
      stood = true;
      while (!moves) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return io::testing::Fault{};
  });
  Saver writes = saver(true);
  EXPECT_EQ(writes.finish(), std::nullopt);
  writes.begin({.step = 3});
  while (!stood) std::this_thread::yield();
  EXPECT_FALSE(fs::exists(temp_.path() / "step-00000003"));
  moves = true;
  const auto saved = writes.finish();
  ASSERT_TRUE(saved);
  EXPECT_EQ(saved->step, 3u);
  EXPECT_EQ(saved->dir, temp_.path() / "step-00000003");
  io::verify_checkpoint(saved->dir);
  EXPECT_EQ(writes.finish(), std::nullopt);
}

TEST_F(SaverTest, WhatGoesWrongIsThrownWhereItIsWaitedFor) {
  for (const bool background : {true, false}) {
    Saver writes = saver(background);
    io::testing::set_fault_hook([&](const io::testing::FileEvent& event) {
      return io::testing::Fault{.error = event.op == FileOp::Sync && !event.done ? EIO : 0};
    });
    writes.begin({.step = 4});
    EXPECT_THROW(writes.finish(), Error);
    io::testing::set_fault_hook({});
    writes.begin({.step = 5});
    EXPECT_EQ(writes.finish()->step, 5u);
    EXPECT_FALSE(fs::exists(temp_.path() / "step-00000004"));
  }
}

TEST_F(SaverTest, AFullDiskIsTriedAgain) {
  std::atomic<int> full{2};
  io::testing::set_fault_hook([&](const io::testing::FileEvent& event) {
    const bool fails = event.op == FileOp::Write && !event.done && full > 0;
    if (fails) --full;
    return io::testing::Fault{.error = fails ? ENOSPC : 0};
  });
  Saver writes = saver(true);
  writes.begin({.step = 6});
  const auto saved = writes.finish();
  ASSERT_TRUE(saved);
  EXPECT_EQ(full, 0);
  io::verify_checkpoint(saved->dir);
}

}  // namespace
}  // namespace rt
