// A run that something happens to every few seconds, and the same one that nothing happened to.
// RT_CHAOS_SECONDS says for how long, RT_CHAOS_EVERY how often (default 20). Without the first nothing is
// run.

#include <random>

#include "tests/apps/cluster_support.h"

namespace rt::apps_test {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

int setting(const char* name, int otherwise) {
  const char* value = getenv(name);
  return value ? atoi(value) : otherwise;
}

class SlowChaos : public Program {
 protected:
  Words train(const std::string& name, const std::string& dir, Words more) {
    Words words = {"rwkv-train", config(name), "--nproc", "4"};
    for (const char* s :
         {"model.width=64", "model.layers=3", "batch.global_tokens=512", "batch.micro_sequences=2",
          "run.deterministic=true", "dist.heartbeat=1s", "dist.timeouts.step=4s", "dist.timeouts.init=30s",
          "dist.timeouts.first_step=30s", "dist.restarts=1000", "checkpoint.every={steps: 40, time: null}",
          "checkpoint.disk_reserve=0", "eval.every=200steps", "log.every=20steps", "parallel.zero=2"})
      words.insert(words.end(), {"--set", s});
    words.insert(words.end(), {"--set", "run.dir=" + dir});
    for (const std::string& s : more) words.insert(words.end(), {"--set", s});
    return words;
  }

  // The last step that the supervisor's rank 0 printed.
  std::int64_t step_now() const {
    const std::string out = slurp(dir_ / "stdout");
    const auto at = out.rfind("\nstep ");
    return at == std::string::npos ? 0 : std::atoll(out.c_str() + at + 6);
  }

  // Until all four train again; false when the run has ended.
  bool wait_until_training(pid_t supervisor, std::int64_t beyond) const {
    while (step_now() <= beyond || children_of(supervisor).size() < 4) {
      if (kill(supervisor, 0) != 0 || waitid_gone(supervisor)) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
  }
};

TEST_F(SlowChaos, EndsWithTheBitsOfAnUndisturbedRun) {
  const int seconds = setting("RT_CHAOS_SECONDS", 0), every = setting("RT_CHAOS_EVERY", 20);
  if (seconds == 0) GTEST_SKIP() << "takes as long as RT_CHAOS_SECONDS says, and again without faults";
  const fs::path disk = dir_ / "disk";
  fs::create_directories(disk);
  const bool own_disk = run_shell("mount -t tmpfs -o size=64m none " + disk.string()) == 0;
  const std::string struck = (disk / "run").string();
  // Far more steps than it will come to: it is asked to end when the time is over.
  const auto begin = Clock::now();
  const pid_t supervisor = start(train("struck", struck, {"budget.steps=1000000"}));
  std::mt19937 random(17);
  std::map<std::string, int> faults;
  double down = 0, longest = 0;
  std::int64_t step = 20;
  while (seconds_since(begin) < seconds) {
    ASSERT_TRUE(wait_until_training(supervisor, step)) << slurp(dir_ / "stdout");
    std::this_thread::sleep_for(std::chrono::milliseconds(every * 500 + random() % (every * 1000)));
    step = step_now();
    const pid_t victim = process_of(supervisor, std::to_string(random() % 4));
    const auto struck_at = Clock::now();
    switch (random() % (own_disk ? 4 : 3)) {
      case 0: faults["killed"] += strike(victim, SIGKILL); break;
      case 1: faults["stopped"] += strike(victim, SIGSTOP); break;
      case 2: faults["connections cut"] += victim > 1 && cut_connections(victim); break;
      case 3:
        spew(disk / "filler", std::string(128 << 20, 'x'));  // as far as it goes
        std::this_thread::sleep_for(std::chrono::seconds(3));
        fs::remove(disk / "filler");
        ++faults["disk full"];
        break;
    }
    ASSERT_TRUE(wait_until_training(supervisor, step + 20)) << slurp(dir_ / "stdout");
    down += seconds_since(struck_at);
    longest = std::max(longest, seconds_since(struck_at));
  }
  const double ran = seconds_since(begin);
  strike(supervisor, SIGTERM);
  const Outcome outcome = wait(supervisor);
  EXPECT_EQ(outcome.status, 75) << outcome.out << outcome.err;
  const int end = newest(struck);
  ASSERT_GT(end, 0);
  int count = 0;
  std::string list;
  for (const auto& [what, n] : faults) {
    count += n;
    list += " " + std::to_string(n) + " " + what + ",";
  }
  EXPECT_GT(count, 1);
  std::printf("%d faults in %.0f s:%s %d steps; %.1f s from a fault until 20 steps on, at most %.1f\n", count,
              ran, list.c_str(), end, down / std::max(count, 1), longest);
  RecordProperty("faults", count);

  const auto again = Clock::now();
  const std::string calm = (dir_ / "calm").string();
  ASSERT_TRUE(succeeds(run(train("calm", calm, {"budget.steps=" + std::to_string(end)}))));
  std::printf("undisturbed %.0f s: goodput %.2f\n", seconds_since(again), seconds_since(again) / ran);
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    const auto at = fs::path("checkpoints") / step_name(end) / file;
    EXPECT_TRUE(slurp(struck / at) == slurp(calm / at)) << file;
  }
  if (own_disk) run_shell("umount " + disk.string());
}

}  // namespace
}  // namespace rt::apps_test
