#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <thread>

#include "rt/core/log.h"
#include "rt/core/rng.h"
#include "rt/io/checkpoint.h"
#include "tests/support/toy_run.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using testing::file_bytes;
using testing::TempDir;
using testing::toy_config;

pid_t start(const fs::path& config) {
  const std::string program = std::string(RT_BINARY_DIR) + "/bin/rwkv-train";
  const pid_t child = fork();
  if (child == 0) {
    if (!freopen("/dev/null", "w", stdout)) _exit(126);
    execl(program.c_str(), program.c_str(), config.c_str(), nullptr);
    _exit(127);
  }
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::uint64_t newest_step(const fs::path& root) {
  if (!fs::exists(root)) return 0;
  const auto all = io::list_checkpoints(root);
  return all.empty() ? 0 : all.back().step;
}

// kill -9 at 20 random moments of a run that saves every other step: the newest good checkpoint always loads,
// and the run that was killed and resumed again and again ends with the bits of the one that was not.
TEST(SlowKill, TwentyTimesAndTheSameBits) {
  log::set_level(log::Level::Off);
  const TempDir temp("rt-kill");
  constexpr int kSteps = 800;  // more than 20 times the longest stretch between kills
  const auto config = [&](const char* name, const std::string& saving) {
    const fs::path file = temp.path() / (std::string(name) + ".yaml");
    std::ofstream(file) << toy_config(temp.path(), temp.path() / name, kSteps, saving);
    return file;
  };
  const fs::path killed = config("killed", "checkpoint: {every: {steps: 2}, keep: {last: 2}}\n");
  std::uint64_t step = 0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const pid_t child = start(killed);
    const std::uint64_t wanted = step + 2 + Rng{11, 0}.below(i, 24);
    while (newest_step(temp.path() / "killed" / "checkpoints") < wanted) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(Rng{12, 0}.below(i, 15000)));
    kill(child, SIGKILL);
    ASSERT_EQ(wait_for(child), -SIGKILL) << "the run must not have ended by itself";
    const auto newest = io::newest_good_checkpoint(temp.path() / "killed" / "checkpoints");
    ASSERT_TRUE(newest);
    io::verify_checkpoint(newest->dir);
    EXPECT_GE(newest->step, step) << "progress was lost";
    step = newest->step;
  }
  // One more, to its end, against an undisturbed run of as many steps: the budget is the same, so the
  // schedule is.
  EXPECT_FALSE(fs::exists(temp.path() / "killed" / "checkpoints" / "quarantine"));
  ASSERT_EQ(wait_for(start(killed)), 0);
  ASSERT_EQ(wait_for(start(config("straight", ""))), 0);
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    const fs::path last = fs::path("checkpoints") / io::checkpoint_name(kSteps) / file;
    EXPECT_EQ(file_bytes(temp.path() / "killed" / last), file_bytes(temp.path() / "straight" / last)) << file;
  }
  log::set_level(log::Level::Info);
}

}  // namespace
}  // namespace rt
