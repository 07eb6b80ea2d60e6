#include "rt/train/saver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <thread>

#include "rt/core/device_api.h"
#include "rt/core/host.h"
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
  SaverTest()
      : temp_("rt-saver"), store_(parse_device("auto"), {}), model_(testing::tiny_spec(20), store_.root()) {
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
  void fill(const TensorView& view) {
    const DeviceApi& api = device_api(view.device.kind);
    api.fill(view.data, ++filled_, view.nbytes(), nullptr);
    api.synchronize(view.device.index);
  }
  // Of all weights and moments.
  std::map<std::string, std::vector<std::byte>> contents() {
    std::map<std::string, std::vector<std::byte>> all;
    const auto add = [&](const std::string& name, const TensorView& values) {
      const HostTensor here(values);
      all[name].assign(here.view().data, here.view().data + here.view().nbytes());
    };
    for (const ParamPart& part : store_.parts()) add(part.parameter->name, part.master);
    optimizer_->visit_state([&](const std::string& name, const ParamPart&, const TensorView& values) {
      add("moment of " + name, values);
    });
    return all;
  }
  testing::TempDir temp_;
  ParamStore store_;
  LanguageModel model_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<data::Tokenizer> tokenizer_ = data::make_byte_tokenizer();
  Team team_;
  int filled_ = 0;
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

// The disk stands still all the while that weights and moments change. (On the CPU they may not: it waits.)
TEST_F(SaverTest, WhatIsOnADeviceMayChangeOnceItIsRead) {
  const bool copies = store_.device().kind != DeviceKind::Cpu;
  std::atomic<bool> moves{false};
  std::atomic<int> writes_begun{0};
  io::testing::set_fault_hook([&](const io::testing::FileEvent& event) {
    if (event.op == FileOp::Write && !event.done && copies) {
      ++writes_begun;
      while (!moves) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return io::testing::Fault{};
  });
  const auto change = [&] {
    for (const ParamPart& part : store_.parts()) fill(part.master);
    optimizer_->visit_state(
        [&](const std::string&, const ParamPart&, const TensorView& values) { fill(values); });
  };
  Saver writes = saver(true);
  for (const std::uint64_t step : {1u, 2u}) {  // the memory for copies is used again
    moves = false;
    const std::map<std::string, std::vector<std::byte>> before = contents();
    writes.begin({.step = step});
    writes.read();
    EXPECT_EQ(fs::exists(temp_.path() / io::checkpoint_name(step)), !copies);
    EXPECT_FALSE(copies && writes.done());
    change();
    EXPECT_NE(contents(), before);
    moves = true;
    const auto saved = writes.finish();
    ASSERT_TRUE(saved);
    io::verify_checkpoint(saved->dir);
    load_run(saved->dir, store_, *optimizer_);
    EXPECT_EQ(contents(), before);
  }
  EXPECT_EQ(writes_begun > 0, copies);
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

bool trashes(const io::testing::FileEvent& event) {
  return !event.done && event.path.string().find(".trash") != std::string::npos;
}

// The disk stands still where the oldest checkpoint is to go.
TEST_F(SaverTest, NobodyWaitsForOlderCheckpointsToBeRemoved) {
  Saver writes = saver(true);
  for (const std::uint64_t step : {1u, 2u, 3u}) {
    writes.begin({.step = step});
    writes.finish();
  }
  std::atomic<bool> moves{false};
  io::testing::set_fault_hook([&](const io::testing::FileEvent& event) {
    while (trashes(event) && !moves) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return io::testing::Fault{};
  });
  writes.begin({.step = 4});
  writes.read();
  EXPECT_FALSE(writes.done());
  EXPECT_TRUE(fs::exists(temp_.path() / "step-00000001"));
  moves = true;
  EXPECT_EQ(writes.finish()->step, 4u);
  EXPECT_FALSE(fs::exists(temp_.path() / "step-00000001"));
}

TEST_F(SaverTest, ADiskTooFullToRemoveCheckpointsKeepsAll) {
  Saver writes = saver(true);
  for (const std::uint64_t step : {1u, 2u, 3u, 4u, 5u}) {
    std::atomic<int> written{0};
    io::testing::set_fault_hook([&](const io::testing::FileEvent& event) {
      written += event.op == FileOp::Write && event.done && event.path.filename() == "manifest.json";
      return io::testing::Fault{.error = step == 4 && trashes(event) ? ENOSPC : 0};
    });
    writes.begin({.step = step});
    EXPECT_EQ(writes.finish()->step, step);
    EXPECT_EQ(written, 1);
    io::testing::set_fault_hook({});
    EXPECT_EQ(fs::exists(temp_.path() / "step-00000001"), step <= 4);
  }
  EXPECT_FALSE(fs::exists(temp_.path() / "step-00000002"));
  EXPECT_TRUE(fs::exists(temp_.path() / "step-00000003"));
}

}  // namespace
}  // namespace rt
