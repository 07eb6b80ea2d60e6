// Several processes that train one model: rwkv-train --nproc.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>

#include "tests/apps/cluster_runs.h"

namespace rt::apps_test {
namespace {

class ClusterDist : public ClusterProgram {};

// "bitwise equal in deterministic mode": 8 micro-batches a step and 12, which is a block and a half; with one
// of two sequences each, and with one of all.
TEST_F(ClusterDist, WorldsAndStagesOfZeroComeToTheSameBits) {
  for (const Words& batch :
       {Words{"batch.micro_sequences=2"}, Words{"batch.micro_sequences=1", "batch.global_tokens=384"}}) {
    Words settings = batch;
    settings.push_back("run.deterministic=true");
    const std::string tag = std::to_string(batch.size());
    const auto run_of = [&](int world, int zero) {
      const std::string name = "w" + std::to_string(world) + "z" + std::to_string(zero) + "b" + tag;
      Words own = settings;
      own.push_back("parallel.zero=" + std::to_string(zero));
      const Outcome outcome = run(train(name, world, own));
      EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
      return name;
    };
    const std::string alone = run_of(1, 1);
    ASSERT_FALSE(state(alone).empty());
    for (const int world : {2, 4}) {
      for (const int zero : {0, 1, 2, 3}) {
        if (batch.size() == 2 && world + zero != 5) continue;  // of the second batch two of eight
        const std::string several = run_of(world, zero);
        EXPECT_TRUE(state(several) == state(alone)) << several;
        EXPECT_EQ(losses(several), losses(alone)) << several;
        EXPECT_EQ(evaluations(several), evaluations(alone)) << several;
      }
    }
  }
}

// One micro-batch for each of four.
TEST_F(ClusterDist, WithoutAccumulationToo) {
  const Words settings = {"run.deterministic=true", "batch.micro_sequences=4", "parallel.zero=2"};
  ASSERT_TRUE(succeeds(run(train("alone", 1, settings))));
  ASSERT_TRUE(succeeds(run(train("four", 4, settings))));
  EXPECT_TRUE(state("alone") == state("four"));
}

TEST_F(ClusterDist, LossesAgreeWithoutTheFixedOrderToo) {
  ASSERT_TRUE(succeeds(run(train("alone", 1))));
  const std::vector<double> expected = losses("alone");
  ASSERT_EQ(expected.size(), static_cast<std::size_t>(kSteps));
  for (const auto& [name, world, settings] : std::vector<std::tuple<std::string, int, Words>>{
           {"two", 2, {"parallel.zero=1"}},
           {"three", 3, {"parallel.zero=3"}},
           {"four", 4, {"parallel.zero=0"}},
           {"block", 2, {"parallel.zero=3", "parallel.recompute=block"}},
           {"narrow", 2, {"precision.grad_reduce=bf16"}}}) {
    ASSERT_TRUE(succeeds(run(train(name, world, settings)))) << name;
    const std::vector<double> found = losses(name);
    ASSERT_EQ(found.size(), expected.size());
    const double allowed = name == "narrow" ? 3e-3 : 1e-4;
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], expected[i], allowed * expected[i]) << name << " step " << i + 1;
  }
}

// bf16 compute copies, whose masters are shared out.
// "Sequence parallel over 2 and 4 ranks = single process": alone, beside shares of the batch, with all of
// ZeRO, and with the blocks computed again.
TEST_F(ClusterDist, ProcessesShareTheTimeOfASequence) {
  const Words settings = {"data.document_state=reset", "batch.micro_sequences=4"};
  ASSERT_EQ(run(train("alone", 1, settings)).status, 0);
  const std::vector<double> want = losses("alone");
  const std::vector<double> weights = numbers("alone");
  ASSERT_EQ(want.size(), static_cast<std::size_t>(kSteps));
  struct Way {
    int world, context, zero;
    const char* recompute;
  };
  for (const auto& [world, context, zero, recompute] :
       {Way{2, 2, 1, "none"}, Way{4, 4, 0, "none"}, Way{4, 2, 2, "block"}, Way{4, 2, 3, "none"}}) {
    Words own = settings;
    own.push_back("parallel.context=" + std::to_string(context));
    own.push_back("parallel.zero=" + std::to_string(zero));
    own.push_back(std::string("parallel.recompute=") + recompute);
    const std::string name =
        "w" + std::to_string(world) + "c" + std::to_string(context) + "z" + std::to_string(zero);
    const Outcome outcome = run(train(name, world, own));
    ASSERT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    const std::vector<double> found = losses(name);
    ASSERT_EQ(found.size(), want.size()) << name;
    for (std::size_t i = 0; i < want.size(); ++i)
      EXPECT_NEAR(found[i], want[i], 1e-5 * want[i]) << name << " " << i;
    const std::vector<double> after = numbers(name);
    ASSERT_EQ(after.size(), weights.size());
    double squares = 0, all = 0;
    for (std::size_t i = 0; i < after.size(); ++i) {
      squares += (after[i] - weights[i]) * (after[i] - weights[i]);
      all += weights[i] * weights[i];
    }
    EXPECT_LE(std::sqrt(squares / all), 1e-5) << name;
  }
}

// What is decided about a step is decided alike by all, from the losses and norms of all.
TEST_F(ClusterDist, SpikesAreSkippedByAllAlike) {
  const Words settings = {"run.deterministic=true", "batch.micro_sequences=2", "budget.steps=30",
                          "optimizer.lr=0.01", "stability.spike={window: 6, sigma: 1.5, action: skip}"};
  const auto skips = [&](const std::string& name) {
    std::string found;
    std::ifstream in(run_dir(name) / "metrics.jsonl");
    for (std::string line; std::getline(in, line);)
      if (line.find("\"skip\"") != std::string::npos) found += line + "\n";
    return found;
  };
  ASSERT_EQ(run(train("alone", 1, settings)).status, 0);
  const std::string want = skips("alone");
  EXPECT_FALSE(want.empty());
  for (const auto& [world, zero, context] : {std::array{2, 1, 1}, std::array{4, 3, 1}, std::array{2, 0, 2}}) {
    Words own = settings;
    own.push_back("parallel.zero=" + std::to_string(zero));
    own.push_back("parallel.context=" + std::to_string(context));
    const std::string name = "w" + std::to_string(world) + "c" + std::to_string(context);
    const Outcome outcome = run(train(name, world, own));
    ASSERT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    if (context > 1) {
      EXPECT_EQ(lines(skips(name)), lines(want)) << skips(name);  // the bits are its own
      continue;
    }
    EXPECT_EQ(skips(name), want) << name;
    EXPECT_TRUE(state(name, 30) == state("alone", 30)) << name;
  }
}

TEST_F(ClusterDist, TimeIsSharedByAllOrNone) {
  const auto refused = [&](int world, const Words& settings, const std::string& words) {
    const Outcome outcome = run(train("refused", world, settings));
    EXPECT_EQ(outcome.status, 2);
    EXPECT_NE((outcome.out + outcome.err).find(words), std::string::npos) << outcome.out << outcome.err;
  };
  refused(3, {"parallel.context=2"}, "parallel.context: 2 processes share a sequence, but the run has 3");
  refused(1, {"parallel.context=2"}, "parallel.context: 2 processes share a sequence, but the run has 1");
  refused(3, {"parallel.context=3"}, "parallel.context: 3 does not divide data.seq_len: 32");
  refused(2, {"parallel.context=2", "data.document_state=carry", "data.order=sequential"},
          "parallel.context: and data.document_state: carry cannot both be");
}

TEST_F(ClusterDist, MixedPrecisionIsSharedOutAsWell) {
  const Words settings = {"run.deterministic=true", "precision.compute=bf16", "optimizer.moments=bf16"};
  ASSERT_TRUE(succeeds(run(train("alone", 1, settings))));
  for (const int zero : {1, 2, 3}) {
    Words own = settings;
    own.push_back("parallel.zero=" + std::to_string(zero));
    const std::string name = "z" + std::to_string(zero);
    ASSERT_TRUE(succeeds(run(train(name, 2, own))));
    EXPECT_TRUE(state(name) == state("alone")) << name;
  }
}

// "save on 4, resume on 2, 1 and 3", at another stage of ZeRO each.
TEST_F(ClusterDist, ACheckpointIsReadByAnyNumberOfProcesses) {
  const Words common = {"run.deterministic=true", "batch.micro_sequences=1"};
  ASSERT_TRUE(succeeds(run(train("straight", 1, common))));
  const auto with = [&](Words more) {
    more.insert(more.begin(), common.begin(), common.end());
    return more;
  };
  int from = 0;
  std::string name = "moved";
  const std::vector<std::pair<int, int>> plan = {{4, 3}, {2, 0}, {1, 1}, {3, 2}};
  for (const auto& [world, zero] : plan) {
    from += kSteps / 4;
    const Outcome part =
        run(train(name, world,
                  with({"parallel.zero=" + std::to_string(zero), "budget.steps=" + std::to_string(from),
                        "checkpoint.allow_change=[budget]", "checkpoint.keep.last=9"})));
    ASSERT_TRUE(succeeds(part));
  }
  // Three processes sum in another order than one does: the part before has the same bits.
  ASSERT_TRUE(succeeds(run(train("short", 1, with({"budget.steps=9"})))));
  EXPECT_TRUE(state(name, 9) == state("short", 9));
  const std::vector<double> found = losses(name), expected = losses("straight");
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-4 * expected[i]) << i;
}

TEST_F(ClusterDist, StateBetweenStepsIsEveryonesOwn) {
  const Words settings = {"run.deterministic=true", "data.order=sequential", "data.document_state=carry",
                          "batch.micro_sequences=2"};
  ASSERT_TRUE(succeeds(run(train("alone", 1, settings))));
  ASSERT_TRUE(succeeds(run(train("two", 2, settings))));
  EXPECT_TRUE(state("alone") == state("two"));
  EXPECT_TRUE(slurp(checkpoint(kSteps, "alone") / "recurrent.safetensors") ==
              slurp(checkpoint(kSteps, "two") / "recurrent.safetensors"));
}

TEST_F(ClusterDist, MoreProcessesThanWorkAreRefused) {
  const Outcome many = run(train("many", 5, {"batch.micro_sequences=4"}));
  EXPECT_EQ(many.status, 2);
  EXPECT_NE((many.out + many.err)
                .find("batch: a step of 16 sequences in micro-batches of 4 has work for 4 of 5 processes."),
            std::string::npos)
      << many.out << many.err;
}

}  // namespace
}  // namespace rt::apps_test
