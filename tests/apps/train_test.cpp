#include "tests/apps/apps_support.h"

namespace rt::apps_test {
namespace {

class RwkvTrain : public Program {};

TEST_F(RwkvTrain, UsageAndVersion) {
  const Outcome bare = run({"rwkv-train"});
  EXPECT_EQ(bare.status, 2);
  EXPECT_TRUE(has(bare.err, "usage: rwkv-train CONFIG.yaml")) << bare.err;
  const Outcome help = run({"rwkv-train", "--help"});
  EXPECT_TRUE(succeeds(help));
  EXPECT_TRUE(has(help.out, "--set")) << help.out;
  const Outcome version = run({"rwkv-train", "--version"});
  EXPECT_TRUE(succeeds(version));
  for (const char* part : {"commit ", "compiler ", "compiled for", "gemm ", "cuda "}) {
    EXPECT_TRUE(has(version.out, part)) << part << "\n" << version.out;
  }
}

TEST_F(RwkvTrain, BadCommandLinesAndConfigs) {
  EXPECT_TRUE(refuses(run({"rwkv-train", config(), "--nonsense"}), 2, "--nonsense"));
  EXPECT_TRUE(refuses(run({"rwkv-train", (dir_ / "none.yaml").string()}), 2, "none.yaml"));
  const Outcome typo = run({"rwkv-train", config(), "--set", "optimizer.lerning_rate=1.0"});
  EXPECT_TRUE(refuses(typo, 2, "optimizer.lerning_rate: unknown key"));
  spew(dir_ / "typo.yaml", slurp(config()) + "chekpoint: {}\n");
  EXPECT_TRUE(refuses(run({"rwkv-train", (dir_ / "typo.yaml").string()}), 2, "typo.yaml:15:1: chekpoint"));
  EXPECT_FALSE(fs::exists(run_dir()));
}

TEST_F(RwkvTrain, CheckWritesNothing) {
  const std::string file = config();
  fs::permissions(file, fs::perms::owner_read);
  const auto before = std::distance(fs::recursive_directory_iterator(dir_), {});
  const Outcome check = run({"rwkv-train", file, "--check"});
  EXPECT_TRUE(succeeds(check));
  for (const char* part : {"tokens per step", "memory", "checkpoint", "20.0k tokens of generated stories",
                           "steps", "2 heads of 16, vocab 256", "free in"}) {
    EXPECT_TRUE(has(check.out, part)) << part << "\n" << check.out;
  }
  const Outcome verb = run({"rwkv", "check", file});
  EXPECT_TRUE(succeeds(verb));
  EXPECT_TRUE(has(verb.out, "tokens per step")) << verb.out;
  // stdin, stdout and stderr of the runs are the only new files.
  EXPECT_EQ(std::distance(fs::recursive_directory_iterator(dir_), {}), before + 3);
}

// A launcher that starts several gets no runs of one.
TEST_F(RwkvTrain, NoSilentRunOfOne) {
  const auto with = [&](const std::vector<std::pair<const char*, const char*>>& variables,
                        const Words& words) {
    for (const auto& [name, value] : variables) setenv(name, value, 1);
    const Outcome outcome = run(words);
    for (const auto& [name, value] : variables) unsetenv(name);
    return outcome;
  };
  const Words train = {"rwkv-train", config()};
  // Rank 1, whose rank 0 does not come.
  Words lonely = train;
  lonely.insert(lonely.end(), {"--set", "dist.timeouts.init=6s"});
  EXPECT_TRUE(refuses(
      with({{"RANK", "1"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "1"}}, lonely),
      76, "waited 6 s for the store at 127.0.0.1:2"));
  EXPECT_TRUE(refuses(with({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "16"}}, train), 2,
                      "this process sees world size 1 but SLURM_NTASKS=16: start it with srun"));
  EXPECT_FALSE(fs::exists(run_dir()));
}

// A supervisor and what it starts.
TEST_F(RwkvTrain, StartsProcessesItself) {
  const std::string file = config();
  const Outcome one = run({"rwkv-train", file, "--nproc", "1"});
  ASSERT_TRUE(succeeds(one));
  EXPECT_TRUE(has(one.out, "done: 8 steps")) << one.out;
  EXPECT_TRUE(refuses(run({"rwkv-train", file, "--nproc=2", "--set", "dist.world=3"}), 2,
                      "--nproc 2 starts all processes of the run, but dist.world is 3"));
  EXPECT_TRUE(
      refuses(run({"rwkv-train", file, "--nproc=2", "--set", "dist.rank=1"}), 2, "Remove dist.rank."));
  for (const char* name : {"RANK", "WORLD_SIZE"}) setenv(name, name[0] == 'R' ? "0" : "1", 1);
  const Outcome started = run({"rwkv-train", file, "--nproc", "2"});
  for (const char* name : {"RANK", "WORLD_SIZE"}) unsetenv(name);
  EXPECT_TRUE(refuses(started, 2, "this one is rank 0 of 1 already (from torchrun)"));
  const Outcome two = run({"rwkv-train", file, "--nproc=2", "--set", "data.train=[{path: nowhere}]"});
  EXPECT_NE(two.status, 0);
  EXPECT_TRUE(has(two.out + two.err, "nowhere")) << two.out << two.err;
  EXPECT_TRUE(has(two.out + two.err, "It would fail again: not started again.")) << two.out << two.err;
}

class RwkvTrainDist : public Program {};

// What kills it does not end the run, nor change a bit of it.
TEST_F(RwkvTrainDist, AKilledProcessIsStartedAgain) {
  const Words saving = {"--set", "budget.steps=300", "--set", "checkpoint.every.steps=20"};
  const auto train = [&](const std::string& name, Words more) {
    Words words = {"rwkv-train", config(name)};
    words.insert(words.end(), saving.begin(), saving.end());
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const pid_t supervisor = start(train("killed", {"--nproc", "1", "--set", "run.on_exists=error"}));
  ASSERT_TRUE(wait_for("step 30/300"));
  const std::string of = "/proc/" + std::to_string(supervisor) + "/task/" + std::to_string(supervisor);
  kill(std::stoi(slurp(of + "/children")), SIGKILL);
  const Outcome killed = wait(supervisor);
  ASSERT_TRUE(succeeds(killed));
  EXPECT_TRUE(has(killed.out, "killed by SIGKILL")) << killed.out;
  EXPECT_TRUE(has(killed.out, "[supervisor] warning: restart 1 of 3 in 1 s")) << killed.out;
  EXPECT_TRUE(has(killed.out, "[resume] from ")) << killed.out;
  ASSERT_TRUE(succeeds(run(train("straight", {}))));
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_TRUE(slurp(checkpoint(300, "killed") / file) == slurp(checkpoint(300, "straight") / file)) << file;
}

// The files RWKV-LM trains on are read where they lie.
TEST_F(RwkvTrain, TrainsOnBinidxFiles) {
  const fs::path stem = dir_ / "pile";
  std::string idx("MMIDIDX\0\0\1\0\0\0\0\0\0\0\x08", 18), bin;
  constexpr std::int64_t kTokens = 1000;
  for (const std::int64_t n : {1, 2}) idx.append(reinterpret_cast<const char*>(&n), 8);
  const std::int32_t length = kTokens;
  idx.append(reinterpret_cast<const char*>(&length), 4);
  for (const std::int64_t n : {0, 0, 1}) idx.append(reinterpret_cast<const char*>(&n), 8);
  for (std::int64_t i = 0; i < kTokens; ++i) (bin += static_cast<char>('a' + i % 26)) += '\0';
  spew(stem.string() + ".idx", idx);
  spew(stem.string() + ".bin", bin);
  const std::string file = config(), train = "data.train=[{path: " + stem.string() + ".bin}]";
  const Words words = {"rwkv-train",     file,    "--set",           train, "--set",
                       "budget.steps=3", "--set", "data.verify=full"};
  const Outcome trained = run(words);
  ASSERT_TRUE(succeeds(trained));
  EXPECT_TRUE(has(trained.out, "done: 3 steps")) << trained.out;
  EXPECT_TRUE(refuses(
      run({"rwkv", "check", file, "--set", train, "--set",
           "data.valid=[{name: v, tokens: 5k, path: " + stem.string() + ".bin}]", "--set", "run.name=other"}),
      3, "valid v needs 5000 tokens, " + stem.string() + " has 1000"));
  bin[2 * 700 + 1] = 1;
  spew(stem.string() + ".bin", bin);
  EXPECT_TRUE(refuses(
      run({"rwkv", "check", file, "--set", train, "--set", "data.verify=full", "--set", "run.name=other"}), 3,
      "pile.bin: offset 700: token 377 >= vocab 256"));
  EXPECT_TRUE(refuses(run({"rwkv", "check", file, "--set", train, "--set", "tokenizer={type: chars}", "--set",
                           "run.name=other"}),
                      2, "carries no tokenizer"));
}

TEST_F(RwkvTrain, CheckExitCodes) {
  const std::string file = config();
  const auto set = [&](const std::string& change) { return run({"rwkv", "check", file, "--set", change}); };
  EXPECT_TRUE(refuses(set("data.train=[{path: /no/such/text}]"), 3, "/no/such/text"));
  EXPECT_TRUE(refuses(set("model.width=40"), 2, "model.width"));
  fs::create_directories(run_dir() / "something");
  EXPECT_TRUE(refuses(set("run.on_exists=error"), 2, "run.on_exists: resume"));
  EXPECT_TRUE(succeeds(set("run.on_exists=resume")));
  EXPECT_TRUE(refuses(run({"rwkv", "check", file, "--set", "model.width=65536", "--set", "model.layers=96"}),
                      5, "memory: needs"));
}

// Not one bit may depend on where a run was interrupted.
TEST_F(RwkvTrain, ResumedEqualsStraight) {
  ASSERT_TRUE(succeeds(run({"rwkv-train", config("straight")})));
  ASSERT_TRUE(succeeds(run({"rwkv-train", config("cut"), "--set", "budget.steps=4"})));
  const Words longer = {"rwkv-train", config("cut")};
  EXPECT_TRUE(refuses(run(longer), 2, "checkpoint.allow_change: [budget]"));
  const Outcome resumed = run({"rwkv-train", config("cut"), "--set", "checkpoint.allow_change=[budget]"});
  ASSERT_TRUE(succeeds(resumed));
  EXPECT_TRUE(has(resumed.out, "[resume] from ")) << resumed.out;
  EXPECT_FALSE(has(resumed.out, "step 4/8")) << resumed.out;
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    const std::string expected = slurp(checkpoint(8, "straight") / name);
    ASSERT_GT(expected.size(), 10000u);
    EXPECT_TRUE(expected == slurp(checkpoint(8, "cut") / name)) << name;
  }
  const auto last_loss = [&](const char* name) {
    std::ifstream metrics(run_dir(name) / "metrics.jsonl");
    double loss = -1;
    for (std::string line; std::getline(metrics, line);) {
      const auto entry = nlohmann::json::parse(line);
      if (!entry.contains("event") && entry["step"] == 8) loss = entry["loss"].get<double>();
    }
    return loss;
  };
  EXPECT_GT(last_loss("straight"), 0);
  EXPECT_EQ(last_loss("straight"), last_loss("cut"));
}

TEST_F(RwkvTrain, SignalSavesAndResumes) {
  const std::string file = config();
  const Words endless = {"rwkv-train", file, "--set", "budget.steps=1000000"};
  const pid_t child = start(endless);
  EXPECT_TRUE(wait_for("step 2/"));
  kill(child, SIGTERM);
  const Outcome stopped = wait(child);
  EXPECT_EQ(stopped.status, 75) << stopped.out << stopped.err;
  EXPECT_TRUE(has(stopped.out, "SIGTERM at step ")) << stopped.out;
  int step = 0;
  for (const auto& entry : fs::directory_iterator(run_dir() / "checkpoints")) {
    step = std::max(step, std::stoi(entry.path().filename().string().substr(5)));
  }
  ASSERT_GE(step, 2);
  const std::string last = "budget.steps=" + std::to_string(step + 2);
  ASSERT_TRUE(
      succeeds(run({"rwkv-train", file, "--set", last, "--set", "checkpoint.allow_change=[budget]"})));
  ASSERT_TRUE(succeeds(run({"rwkv-train", config("whole"), "--set", last})));
  const std::string expected = slurp(checkpoint(step + 2, "whole") / "model.safetensors");
  ASSERT_FALSE(expected.empty());
  EXPECT_TRUE(expected == slurp(checkpoint(step + 2) / "model.safetensors"));
}

TEST_F(RwkvTrain, NonFiniteStopsWithTheBatchKept) {
  const Outcome o =
      run({"rwkv-train", config(), "--set", "optimizer.lr=1.0e+30", "--set", "log.console=quiet"});
  EXPECT_EQ(o.status, 17) << o.out << o.err;
  ASSERT_EQ(lines(o.err), 1u) << o.err;
  const auto at = o.err.find("Batch kept in ");
  ASSERT_NE(at, std::string::npos) << o.err;
  const std::string batch = o.err.substr(at + 14, o.err.rfind('.') - at - 14);
  const Outcome eval = run({"rwkv", "eval", run_dir().string(), "--batch", batch});
  EXPECT_TRUE(succeeds(eval));
  EXPECT_TRUE(has(eval.out, "parameters: 0 not finite")) << eval.out;
  EXPECT_TRUE(has(eval.out, "micro 0 sequence 1: loss ")) << eval.out;
  EXPECT_TRUE(has(eval.out, "micro 0: the first that is not finite is ")) << eval.out;
}

}  // namespace
}  // namespace rt::apps_test
