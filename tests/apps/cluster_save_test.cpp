// What becomes of a checkpoint that several processes write, each its pieces of the same files, when one of
// them or all are killed within it, or the disk of one is full, slow to take all or broken.
#include <sys/prctl.h>

#include <set>

#include "rt/core/log.h"
#include "rt/io/checkpoint.h"
#include "tests/apps/cluster_runs.h"
#include "tests/apps/disk_faults.h"

namespace rt::apps_test {
namespace {

class ClusterSave : public ClusterProgram {
 protected:
  // The ranks of a supervisor that is killed are ours to wait for: none of them writes when we look.
  ClusterSave() {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    log::set_level(log::Level::Off);
  }
  ~ClusterSave() override {
    log::set_level(log::Level::Info);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
  }

  // State between steps makes one more file that all write.
  Words words(const std::string& name, int world, const Words& more) {
    Words settings = {"run.deterministic=true",    "model.layers=2",
                      "batch.global_tokens=384",   "data.order=sequential",
                      "data.document_state=carry", "checkpoint.keep.last=2",
                      "eval.every=1000steps",      "parallel.zero=2"};
    settings.insert(settings.end(), more.begin(), more.end());
    return train(name, world, settings);
  }
  Outcome run_and_reap(const Words& command) {
    const Outcome outcome = run(command);
    while (waitpid(-1, nullptr, 0) > 0) {}
    return outcome;
  }
  std::string bits(const std::string& name, int step) const {
    return state(name, step) + slurp(checkpoint(step, name) / "recurrent.safetensors");
  }

  void strike_at_points_of_a_save(int world, std::size_t every);
};

class SlowClusterSave : public ClusterSave {};
class ClusterSaveDist : public ClusterSave {};

// The call in a save that is `later` steps later. Calls on the root and the trash are the same.
DiskCall moved(DiskCall call, int later) {
  const std::size_t at = call.path.find("step-");
  if (at != std::string::npos)
    call.path.replace(at, 13, step_name(std::stoi(call.path.substr(at + 5, 8)) + later));
  return call;
}

// The calls of one save: all but those writes of a file that are neither the first, the last nor in the
// middle. What is counted over the whole run is said here as for the first save of a process.
std::vector<DiskCall> points_of(const std::vector<DiskCall>& calls, int step, int pruned) {
  std::map<std::pair<int, std::string>, int> writes;
  const auto of_save = [&](const DiskCall& c) {
    return c.path.find(step_name(step)) != std::string::npos ||
           c.path.starts_with(".trash/" + step_name(pruned));
  };
  for (const DiskCall& c : calls) writes[{c.rank, c.path}] += c.op == "write" && of_save(c);
  std::vector<DiskCall> points;
  for (const DiskCall& c : calls) {
    const int n = writes[{c.rank, c.path}];
    if (of_save(c) && (c.op != "write" || c.number == 0 || c.number == n / 2 || c.number == n - 1))
      points.push_back(c);
  }
  for (const auto& [op, path, number] :
       std::vector<std::tuple<std::string, std::string, int>>{{"fsync", ".", 0},
                                                              {"mkdir", ".trash", 0},
                                                              {"fsync", ".", 1},
                                                              {"fsync", ".trash", 0},
                                                              {"fsync", ".", 2}})
    points.push_back({0, op, path, number});
  return points;
}

bool said_by_rank_zero(const Outcome& outcome, const std::string& text) {
  std::istringstream in(outcome.out + outcome.err);
  for (std::string line; std::getline(in, line);)
    if (!line.starts_with("[rank ") && has(line, text)) return true;
  return false;
}

// Each command finds what the kill before it left, and is killed itself at the next point of its first save.
void ClusterSave::strike_at_points_of_a_save(int world, std::size_t every) {
  constexpr int kSave = 2, kBase = 6, kEnd = 48;
  const auto of = [&](const std::string& name, int steps, const Words& more) {
    Words all = {"checkpoint.every.steps=" + std::to_string(kSave), "budget.steps=" + std::to_string(steps),
                 "checkpoint.allow_change=[budget]", "dist.restarts=0"};
    all.insert(all.end(), more.begin(), more.end());
    return words(name, world, all);
  };
  ASSERT_TRUE(succeeds(run(of("straight", kEnd, {"checkpoint.keep.last=99"}))));
  std::vector<DiskCall> points;
  {
    const DiskFaults written_down(dir_ / "calls");
    ASSERT_TRUE(succeeds(run(of("struck", kBase, {}))));
    points = points_of(disk_calls(dir_ / "calls", world), kBase, kBase - 2 * kSave);
  }
  const Words command = of("struck", kEnd, {});
  const fs::path root = run_dir("struck") / "checkpoints";
  std::set<int> ranks;
  int struck = 0, committed = 0, step = kBase;
  for (std::size_t i = 0; i < points.size(); i += every, ++struck) {
    ASSERT_LT(step, kEnd - kSave);
    const DiskCall point = moved(points[i], step + kSave - kBase);
    const std::string what = point.op == "write" && struck % 3 != 0 ? "torn"
                             : struck % 2 == 0                      ? "kill"
                                                                    : "lost";
    SCOPED_TRACE(point.fault(what));
    const DiskFaults faults(dir_ / ("point" + std::to_string(i)), {point.fault(what)});
    const Outcome outcome = run_and_reap(command);
    ASSERT_EQ(outcome.status, what == "lost" ? 128 + SIGKILL : 76) << outcome.out << outcome.err;
    // Not killed for being late: nothing of its own save holds it up.
    if (what == "kill" && point.rank != 0) {
      EXPECT_TRUE(said_by_rank_zero(outcome, "This process ends too.")) << outcome.out << outcome.err;
    }
    const auto good = io::newest_good_checkpoint(root);
    ASSERT_TRUE(good);
    const int now = static_cast<int>(good->step);
    ASSERT_TRUE(now == step || now == step + kSave) << now << " after " << step;
    ASSERT_EQ(now, newest(run_dir("struck"))) << "a newer one was not good";
    ASSERT_TRUE(bits("struck", now) == bits("straight", now)) << now;
    EXPECT_LE(io::partial_checkpoints(root).size(), 1U) << "they pile up";
    committed += now > step;
    ranks.insert(point.rank);
    step = now;
  }
  EXPECT_EQ(static_cast<int>(ranks.size()), world);
  EXPECT_GE(struck, 20);
  EXPECT_TRUE(committed > 0 && committed < struck) << committed << " of " << struck;
  ASSERT_TRUE(succeeds(run(command)));
  EXPECT_TRUE(bits("struck", kEnd) == bits("straight", kEnd));
  EXPECT_EQ(leftovers(run_dir("struck")), Words());
  std::printf("%d processes killed at %d points of a save, %d of them after it had its name\n", world, struck,
              committed);
}

// P3 for several.
TEST_F(SlowClusterSave, TwoAreKilledAtPointsOfASave) { strike_at_points_of_a_save(2, 3); }
TEST_F(SlowClusterSave, ThreeAreKilledAtPointsOfASave) { strike_at_points_of_a_save(3, 3); }
TEST_F(SlowClusterSave, FourAreKilledAtEveryPointOfASave) { strike_at_points_of_a_save(4, 1); }

// What no later save has the name of, and what is left when there is no later save.
TEST_F(ClusterSaveDist, NothingOfAKilledSaveStaysForEver) {
  const auto of = [&](int every) {
    return words("left", 2, {"checkpoint.every.steps=" + std::to_string(every), "budget.steps=12"});
  };
  {
    const DiskFaults faults(dir_ / "partial", {"1 write step-00000005.tmp/model.safetensors 3 lost"});
    ASSERT_EQ(run_and_reap(of(5)).status, 128 + SIGKILL);
  }
  EXPECT_EQ(leftovers(run_dir("left")).size(), 1U);
  {
    const DiskFaults faults(dir_ / "trash", {"0 unlink .trash/step-00000004/model.safetensors 0 lost"});
    ASSERT_EQ(run_and_reap(of(4)).status, 128 + SIGKILL);
  }
  EXPECT_EQ(newest(run_dir("left")), 12);
  EXPECT_TRUE(fs::exists(run_dir("left") / "checkpoints/.trash/step-00000004"));
  ASSERT_TRUE(succeeds(run(of(4))));
  EXPECT_EQ(leftovers(run_dir("left")), Words());
}

// Of one rank at a time, and of each: all wait, and the save that comes about is whole.
TEST_F(ClusterSaveDist, AFullDiskAndShortWritesOfOneRankChangeNoBit) {
  const Words every = {"checkpoint.every.steps=4"};
  ASSERT_TRUE(succeeds(run(words("straight", 3, every))));
  const std::string model = "step-00000004.tmp/model.safetensors",
                    moments = "step-00000004.tmp/optimizer.safetensors", later = "step-00000008.tmp/";
  const DiskFaults faults(
      dir_ / "calls",
      {"0 write " + model + " 1 short", "1 write " + model + " 2 short", "2 write " + moments + " 3 short",
       "0 write step-00000004.tmp/manifest.json 0 short", "0 mkdir step-00000004.tmp 0 full",
       "1 open " + model + " 0 full", "2 write " + moments + " 0 full", "0 rename step-00000004 0 full",
       "0 fsync . 0 full", "1 fsync " + later + "model.safetensors 0 full",
       "2 fsync " + later + "recurrent.safetensors 0 broken"});
  const Outcome broken = run_and_reap(words("struck", 3, every));
  EXPECT_EQ(broken.status, 4) << broken.out << broken.err;
  Words full;  // as rank 0 says it
  std::istringstream out(broken.out);
  for (std::string line; std::getline(out, line);) {
    if (line.starts_with("[checkpoint] warning: rank ") && has(line, "no space left on device"))
      full.push_back(line.substr(22, 6));
  }
  EXPECT_EQ(full, (Words{"rank 0", "rank 1", "rank 2", "rank 0", "rank 0", "rank 1"})) << broken.out;
  EXPECT_TRUE(has(broken.out + broken.err, "recurrent.safetensors: fsync failed"))
      << broken.out << broken.err;
  EXPECT_EQ(newest(run_dir("struck")), 4);
  ASSERT_TRUE(succeeds(run(words("struck", 3, every))));
  EXPECT_TRUE(bits("struck", kSteps) == bits("straight", kSteps));
  EXPECT_EQ(leftovers(run_dir("struck")), Words());
}

}  // namespace
}  // namespace rt::apps_test
