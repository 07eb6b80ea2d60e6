#include "rt/config/run_config.h"

#include "config/schema.h"
#include "tests/config/config_support.h"

namespace rt::config {
namespace {

// Every key away from its default, strings that need quoting among them, but for those that others exclude.
const char* const kEverything = R"(version: 1
run: {deterministic: true, name: x1, dir: "my runs/{name}", seed: 7, on_exists: overwrite-if-empty}
device: cuda:2
threads: 3
model: {arch: rwkv7, layers: 3, width: 96, head_size: 48, ffn_width: 200, vocab: 300, decay_rank: 8, a_rank: 9,
        v_rank: 10, gate_rank: 11, init: {from: "runs/a b/last"}}
precision: {grad_reduce: bf16, compute: bf16}
tokenizer: {type: chars, file: "no"}
data:
  train:
    - {path: "a: b#c", weight: 2.5, epochs_max: 4}
    - stories: {tokens: 4M, seed: 9}
  valid:
    - {name: v, path: "true", tokens: 5k}
    - {name: s, stories: {tokens: 1k}}
  seq_len: [{until: 10k, value: 32}, {value: 128}]
  packing: pad
  document_state: carry
  loss_mask: from_dataset
  verify: full
batch: {global_tokens: 2Ki, micro_sequences: 4}
optimizer: {type: adamw, lr: 3e-3, betas: [0.8, 0.95], eps: 1e-8, weight_decay: 0, grad_clip: 0.5, moments: bf16,
            groups: [{match: "*.att.w0", lr_scale: 2.0, weight_decay: 0.05}, {match: "x"}]}
schedule: {type: wsd, warmup: 1%, decay: 100ktokens, decay_shape: linear, final: 0}
budget: {tokens: 2M, steps: 1000, wall: 23h30m}
stability: {nonfinite: skip, spike: {window: 99, sigma: 4, action: rollback}, rollback: {skip_batches: 2, max: 5},
  param_hash_every: 7}
parallel: {recompute: block, zero: 3}
dist: {world: 3, rank: 2, local_rank: 1, rendezvous: "[::1]:29501", heartbeat: 3s, restarts: 5, elastic: true,
       timeouts: {init: 2m, first_step: 20m, step: 45s}}
objective: {type: next_token, l2wrap: 0}
checkpoint: {every: {steps: null, time: 90s}, async: false, keep: {last: 1, every_steps: 10, best: {metric: valid/s/loss, n: 2}},
             grace: 9s, trigger_file: NOW, resume: never, disk_reserve: 0,
             allow_change: [lr, budget]}
eval: {every: 5steps, at_start: false, tokens: 9k, tasks: [{task: wikitext, path: t, limit: 3}], samples: {every: 6steps, max_tokens: 4, temperature: 0, top_p: 0.5,
       top_k: 3, prompts: ["Once", "a \"b\"\n\tc\\", "- x: é", "12", "~", "null", "#"]}}
log: {every: 1step, console: lines}
)";

const Overrides kExcluded = {
    "data.packing=concat", "data.train=[{path: x}]",    "data.seq_len=128",  "data.order=rwkv_magic_prime",
    "data.magic_prime=11", "data.document_state=reset", "parallel.context=2"};

TEST(RunConfigFile, ReadsEveryKey) {
  const RunConfig c = parse(kEverything);
  EXPECT_EQ(c.run.dir, "my runs/x1");
  EXPECT_EQ(c.run.on_exists, OnExists::OverwriteIfEmpty);
  EXPECT_EQ(c.device, Device::cuda(2));
  EXPECT_EQ(c.threads, 3);
  EXPECT_EQ(c.model.gate_rank, 11);
  EXPECT_EQ(c.model.init.from, "runs/a b/last");
  EXPECT_EQ(c.precision.compute, DType::BF16);
  using std::chrono::seconds;
  const DistTimeouts timeouts{seconds(120), seconds(1200), seconds(45)};
  EXPECT_EQ(c.dist, (DistSection{3, 2, 1, "[::1]:29501", timeouts, seconds(3), 5, true}));
  EXPECT_EQ(c.tokenizer.file, "no");
  EXPECT_EQ(c.data.train[0], (TrainSource{"a: b#c", std::nullopt, 2.5, 4.0}));
  EXPECT_EQ(c.data.train[1], (TrainSource{std::nullopt, Stories{4'000'000, 9}, 1.0, {}}));
  EXPECT_EQ(c.data.valid[0].tokens, 5000);
  EXPECT_EQ(c.data.seq_len.parts, (std::vector<SeqLenPart>{{10000, 32}, {std::nullopt, 128}}));
  EXPECT_EQ(c.data.packing, Packing::Pad);
  EXPECT_EQ(c.data.loss_mask, LossMask::FromDataset);
  EXPECT_EQ(parse(kEverything, kExcluded).data.order, Order::RwkvMagicPrime);
  EXPECT_EQ(parse(kEverything, kExcluded).data.magic_prime, 11);
  EXPECT_EQ(parse(kEverything, kExcluded).parallel.context, 2);
  EXPECT_EQ(c.stability.spike, (SpikeSection{99, 4, SpikeAction::Rollback}));
  EXPECT_EQ(c.stability.rollback, (RollbackSection{2, 5}));
  EXPECT_EQ(c.stability.nonfinite, NonFinite::Skip);
  EXPECT_EQ(c.checkpoint.keep.best, (KeepBest{"valid/s/loss", 2}));
  EXPECT_EQ(c.checkpoint.grace, seconds(9));
  EXPECT_EQ(c.checkpoint.trigger_file, "NOW");
  EXPECT_EQ(c.batch.global_tokens, 2048);
  EXPECT_EQ(c.optimizer.betas, (std::array{0.8, 0.95}));
  EXPECT_EQ(c.optimizer.moments, DType::BF16);
  EXPECT_EQ(c.optimizer.groups[0], (ParamGroup{"*.att.w0", 2.0, 0.05}));
  EXPECT_EQ(c.schedule.decay, tokens(100'000));
  EXPECT_EQ(c.budget.wall, std::chrono::hours(23) + std::chrono::minutes(30));
  EXPECT_EQ(c.checkpoint.every.steps, std::nullopt);
  EXPECT_EQ(c.checkpoint.disk_reserve, DiskReserve::None);
  EXPECT_EQ(c.checkpoint.allow_change, (std::vector{ChangeClass::Lr, ChangeClass::Budget}));
  EXPECT_EQ(c.eval.samples.prompts[1], "a \"b\"\n\tc\\");
  EXPECT_EQ(c.log.console, Console::Lines);
}

TEST(RunConfigFile, DumpReadsBackEqual) {
  for (const RunConfig& c : {parse(kMinimal), parse(kEverything), parse(kEverything, kExcluded)}) {
    const std::string dump = c.dump();
    const RunConfig again = RunConfig::parse(dump, "dump.yaml");
    EXPECT_EQ(again, c) << dump;
    EXPECT_EQ(again.dump(), dump);
  }
}

// kEverything is what keeps the two tests above honest: a key added to the schema must be added to it.
TEST(RunConfigFile, TheFullExampleLeavesNoKeyAtItsDefault) {
  const RunConfig c = parse(kEverything), plain = parse(kMinimal);
  const std::set<std::string> single_choice = {"model.arch", "optimizer.type", "objective.type", "version"};
  std::set<std::string> changed;
  for (const RunConfig& other : {c, parse(kEverything, kExcluded)}) {
    for (const ConfigChange& change : diff(plain, other)) changed.insert(change.path);
  }
  const std::function<void(const Node&, const std::string&)> visit_leaves = [&](const Node& node,
                                                                                const std::string& path) {
    if (node.kind == Node::Kind::Map && !changed.contains(path)) {
      for (const Node& item : node.items) visit_leaves(item, join(path, item.key));
    } else if (!single_choice.contains(path)) {
      EXPECT_TRUE(changed.contains(path)) << path;
    }
  };
  visit_leaves(write_config(c), "");
}

TEST(RunConfigFile, DefaultsAreThoseOfTheStructs) {
  const RunConfig c = parse(kMinimal);
  EXPECT_EQ(c.optimizer.eps, 1e-18);
  EXPECT_EQ(c.optimizer.betas, (std::array{0.9, 0.99}));
  EXPECT_EQ(c.objective.l2wrap, 1e-4);
  EXPECT_EQ(c.eval, EvalSection{});
  EXPECT_EQ(c.checkpoint, CheckpointSection{});
  EXPECT_FALSE(c.device || c.threads || c.model.ffn_width || c.schedule.decay);
}

TEST(RunConfigFile, WsdFillsItsDecay) {
  const RunConfig c = parse(kMinimal, {"schedule.type=wsd"});
  EXPECT_EQ(c.schedule.decay, percent(20));
  EXPECT_EQ(c.schedule.decay_shape, DecayShape::OneMinusSqrt);
}

TEST(RunConfigFile, EmptySectionsMeanDefaults) {
  EXPECT_EQ(parse(kMinimal + "log:\n  # every: 5steps\neval:\n"), parse(kMinimal));
}

TEST(RunConfigFile, AnchorsAreExpandedAndErrorsInThemNameTheAnchor) {
  const std::string text =
      kMinimal + "  valid:\n    - {name: a, stories: &s {tokens: 5k}}\n    - {name: b, stories: *s}\n";
  EXPECT_EQ(parse(text).data.valid[1].stories, (Stories{5000, 1}));
  const std::string bad = kMinimal + "eval: {tokens: &n 5x}\nthreads: *n\n";
  EXPECT_EQ(error_of(bad).substr(0, 12), "c.yaml:14:1:")
      << "device and threads are read before eval: " << error_of(bad);
}

TEST(Diff, NothingWhenEqual) { EXPECT_TRUE(diff(parse(kMinimal), parse(kMinimal)).empty()); }

TEST(Diff, NamesPathValuesAndClass) {
  const RunConfig a = parse(kMinimal);
  const auto change = [&](const std::string& text) {
    const auto changes = diff(a, parse(kMinimal, {text}));
    EXPECT_EQ(changes.size(), 1u) << text;
    return changes.at(0);
  };
  EXPECT_EQ(change("data.seq_len=128"), (ConfigChange{"data.seq_len", "64", "128", ChangeClass::Data}));
  EXPECT_EQ(describe(change("data.seq_len=128")), "data.seq_len 64 -> 128 changes sample order");
  EXPECT_EQ(change("data.train.0.path=b.txt"),
            (ConfigChange{"data.train.0.path", "a.txt", "b.txt", ChangeClass::Data}));
  EXPECT_EQ(change("data.train.1.path=b.txt").path, "data.train");
  EXPECT_EQ(change("threads=2"), (ConfigChange{"threads", "auto", "2", ChangeClass::Harmless}));
  EXPECT_EQ(change("optimizer.betas=[0.9, 0.95]"),
            (ConfigChange{"optimizer.betas", "[0.9, 0.99]", "[0.9, 0.95]", ChangeClass::Lr}));
  EXPECT_EQ(change("optimizer.moments=bf16"),
            (ConfigChange{"optimizer.moments", "f32", "bf16", ChangeClass::Lr}));
  EXPECT_EQ(change("model.layers=3").kind, ChangeClass::Model);
  EXPECT_EQ(change("model.init={from: x}"),
            (ConfigChange{"model.init", "arch", "{from: x}", ChangeClass::Model}));
  EXPECT_EQ(change("precision.compute=bf16").kind, ChangeClass::Model);
  EXPECT_EQ(change("run.seed=1").kind, ChangeClass::Data);
  EXPECT_EQ(change("batch.global_tokens=2048").kind, ChangeClass::Batch);
  EXPECT_EQ(change("batch.micro_sequences=2").kind, ChangeClass::Harmless);
  EXPECT_EQ(change("schedule.final=0").kind, ChangeClass::Schedule);
  EXPECT_EQ(change("budget.steps=200").kind, ChangeClass::Budget);
  EXPECT_EQ(change("budget.wall=1h").kind, ChangeClass::Harmless);
  EXPECT_EQ(change("data.valid=[{name: a, split: 0.1}]").kind, ChangeClass::Harmless);
  EXPECT_EQ(change("checkpoint.keep.last=5").kind, ChangeClass::Harmless);
  EXPECT_EQ(change("dist.timeouts.step=90s"),
            (ConfigChange{"dist.timeouts.step", "auto", "1m30s", ChangeClass::Harmless}));
  EXPECT_EQ(change("dist.restarts=0").kind, ChangeClass::Harmless);
}

TEST(Diff, KeysThatComeOrGoAreUnset) {
  const auto changes = diff(parse(kMinimal), parse(kMinimal, {"data.train.0={stories: {tokens: 5}}"}));
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0],
            (ConfigChange{"data.train.0.stories", "(unset)", "{tokens: 5, seed: 1}", ChangeClass::Data}));
  EXPECT_EQ(changes[1], (ConfigChange{"data.train.0.path", "a.txt", "(unset)", ChangeClass::Data}));
}

TEST(Diff, ClassNames) {
  EXPECT_EQ(to_string(ChangeClass::Lr), "lr");
  EXPECT_EQ(to_string(ChangeClass::Model), "model");
  EXPECT_EQ(to_string(ChangeClass::Harmless), "harmless");
}

}  // namespace
}  // namespace rt::config
