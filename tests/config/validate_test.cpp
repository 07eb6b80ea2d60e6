#include "tests/config/config_support.h"

namespace rt::config {
namespace {

// kMinimal with one override, whose message is located as "--set key".
std::string rejects(const std::string& override_text) { return error_of(kMinimal, {override_text}); }
bool accepts(const Overrides& overrides) { return error_of(kMinimal, overrides) == "no error"; }

TEST(Validate, PointsAtTheKeyInTheFile) {
  std::string text = kMinimal;
  text.replace(text.find("width: 64"), 9, "width: 770");
  EXPECT_EQ(error_of(text),
            "c.yaml:4:3: model.width: 770 is not a multiple of head_size=64. Nearest: 768, 832");
}

TEST(Validate, Shapes) {
  EXPECT_EQ(rejects("model.width=96"),
            "--set model.width: 96 is not a multiple of head_size=64. Nearest: 64, 128");
  EXPECT_EQ(rejects("model.head_size=40"),
            "--set model.head_size: 40 is not one of 16, 32, 48, 64, ... 256. Use 64 unless the width asks "
            "for another");
  EXPECT_EQ(rejects("model.layers=1"), "--set model.layers: 1 is too small. Use 2 or more");
  EXPECT_EQ(rejects("model.width=16"), "--set model.width: 16 is too small. Use 64 or more");
  for (const char* size : {"16", "32", "64"})
    EXPECT_TRUE(accepts({std::string("model.head_size=") + size})) << size;
  for (const char* size : {"0", "8", "272", "100"}) {
    EXPECT_FALSE(accepts({std::string("model.head_size=") + size, "model.width=27200"})) << size;
  }
  EXPECT_FALSE(accepts({"model.vocab=1"}));
  EXPECT_FALSE(accepts({"model.gate_rank=0"}));
}

TEST(Validate, Dist) {
  EXPECT_EQ(rejects("dist.local_rank=1"),
            "--set dist.local_rank: says nothing without dist.rank. Set both, or leave both to the launcher");
  EXPECT_TRUE(accepts({"dist.rank=1", "dist.local_rank=1"}));
  EXPECT_EQ(rejects("dist.heartbeat=0s"), "--set dist.heartbeat: 0s is too short. Use 1s or more");
  for (const char* timeout : {"init", "first_step", "step"}) {
    const std::string key = std::string("dist.timeouts.") + timeout;
    EXPECT_EQ(rejects(key + "=5s"), "--set " + key + ": 5s is too short. Use 6s or more");
    EXPECT_FALSE(accepts({"dist.heartbeat=21s", key + "=1m"})) << key;
    EXPECT_TRUE(accepts({"dist.heartbeat=20s", key + "=1m"})) << key;
  }
  EXPECT_FALSE(accepts({"dist.restarts=-1"}));
  EXPECT_TRUE(accepts({"dist.restarts=0", "dist.elastic=true"}));
}

TEST(Validate, Batch) {
  EXPECT_EQ(rejects("batch.global_tokens=1000"),
            "--set batch.global_tokens: 1000 is not seq_len(64) x k. Nearest: 960 (k=15), 1024 (k=16)");
  EXPECT_EQ(rejects("batch.global_tokens=10"),
            "--set batch.global_tokens: 10 is not seq_len(64) x k. Nearest: 64 (k=1)");
  EXPECT_EQ(rejects("batch.micro_sequences=5"),
            "--set batch.micro_sequences: 5 does not divide the 16 sequences of a step. Nearest: 4, 8");
  EXPECT_EQ(rejects("batch.micro_sequences=99"),
            "--set batch.micro_sequences: 99 does not divide the 16 sequences of a step. Nearest: 16");
  EXPECT_FALSE(accepts({"data.seq_len=0"}));
  EXPECT_FALSE(accepts({"batch.micro_sequences=0"}));
}

TEST(Validate, Optimizer) {
  EXPECT_EQ(rejects("optimizer.betas=[0.9, 1.0]"),
            "--set optimizer.betas: optimizer.betas.1: 1.0 is not in [0, 1). Use e.g. 0.9");
  EXPECT_EQ(rejects("optimizer.lr=0"), "--set optimizer.lr: 0.0 is not positive. Use a number above 0");
  EXPECT_FALSE(accepts({"optimizer.eps=-1e-8"}));
  EXPECT_FALSE(accepts({"optimizer.weight_decay=-0.1"}));
  EXPECT_FALSE(accepts({"optimizer.grad_clip=-1"}));
  EXPECT_FALSE(accepts({"optimizer.moments=f64"}));
  EXPECT_FALSE(accepts({"optimizer.groups=[{match: \"\"}]"}));
  EXPECT_FALSE(accepts({"objective.l2wrap=-1"}));
  EXPECT_TRUE(accepts(
      {"optimizer.groups=[{match: \"*.w0\", lr_scale: 2.0, weight_decay: 0}]", "optimizer.grad_clip=0"}));
}

TEST(Validate, ScheduleAndBudget) {
  EXPECT_EQ(rejects("schedule.warmup=101steps"),
            "--set schedule.warmup: 101steps is longer than the run (100 steps by budget). Shorten it or "
            "raise the budget");
  EXPECT_EQ(rejects("schedule.warmup=2k"), "no error") << "2000 tokens are two steps of 1024";
  EXPECT_EQ(rejects("schedule.warmup=1k"),
            "--set schedule.warmup: 1000tokens is less than one step of 1024 tokens. If steps are meant, "
            "write 1000steps");
  EXPECT_EQ(rejects("schedule.decay=20%"),
            "--set schedule.decay: is only for type: wsd. Remove it or change the type");
  EXPECT_EQ(rejects("budget={wall: 1h}"),
            "c.yaml: schedule.type: cosine needs to know how long the run is. Give budget.tokens or "
            "budget.steps, or use "
            "constant");
  EXPECT_EQ(rejects("budget={}"),
            "--set budget: has no tokens, steps or wall. Give at least one, e.g. tokens: 100M");
  EXPECT_EQ(rejects("budget.tokens=1000"),
            "--set budget.tokens: 1000 is less than one step of 1024 tokens. Raise it");
  EXPECT_TRUE(accepts({"budget={wall: 1h}", "schedule.type=constant", "schedule.warmup=5steps"}));
  EXPECT_FALSE(accepts({"budget={wall: 1h}", "schedule.type=constant", "schedule.warmup=5%"}));
  EXPECT_TRUE(accepts({"schedule={type: wsd, warmup: 50steps, decay: 50%}"}));
  EXPECT_FALSE(accepts({"schedule={type: wsd, warmup: 51steps, decay: 50%}"}));
  EXPECT_FALSE(accepts({"schedule={type: wsd, decay: 0%}"}));
  EXPECT_FALSE(accepts({"schedule.warmup=101%"}));
  EXPECT_FALSE(accepts({"schedule.final=1.5"}));
}

TEST(Validate, Data) {
  EXPECT_EQ(rejects("data.train=[]"),
            "--set data.train: is empty. Give at least one source, e.g. - {path: data/train}");
  EXPECT_EQ(rejects("data.train.0.stories={tokens: 1M}"),
            "c.yaml:11:11: data.train.0: has 2 of path and stories. Give exactly one");
  EXPECT_TRUE(accepts({"data.train.0.stories={tokens: 1M}", "data.train.0.path=null"}));
  EXPECT_FALSE(accepts({"data.train.0.weight=0"}));
  EXPECT_FALSE(accepts({"data.train=[{stories: {tokens: 0}}]"}));
  EXPECT_TRUE(accepts({"data.valid=[{name: a, split: 0.1}, {name: b, path: x, tokens: 2k}]"}));
  EXPECT_FALSE(accepts({"data.valid=[{name: a, split: 0.1}, {name: a, path: x}]"}));
  EXPECT_FALSE(accepts({"data.valid=[{name: a, split: 0.1}, {name: b, split: 0.2}]"}));
  EXPECT_FALSE(accepts({"data.valid=[{name: a, split: 1.0}]"}));
  EXPECT_FALSE(accepts({"data.valid=[{name: a}]"}));
  EXPECT_FALSE(accepts({"data.valid=[{name: a, split: 0.1}]", "data.train.1={path: b}"}));
  EXPECT_FALSE(accepts({"tokenizer.file=alphabet.json"}));
  EXPECT_TRUE(accepts({"tokenizer={type: chars, file: alphabet.json}"}));
  for (const std::string type : {"rwkv_world", "hf_json", "tiktoken", "sentencepiece"}) {
    EXPECT_TRUE(accepts({"tokenizer={type: " + type + ", file: vocabulary}"})) << type;
    EXPECT_FALSE(accepts({"tokenizer={type: " + type + "}"})) << type;
  }
  EXPECT_FALSE(accepts({"tokenizer={type: gpt2, file: vocabulary}"}));
}

TEST(Validate, Rows) {
  EXPECT_EQ(error_of(kMinimal + "  packing: pack\n  document_state: carry\n"),
            "c.yaml:13:3: data.packing: pack puts unrelated documents side by side, and document_state: "
            "carry would "
            "let one see the other. Use reset, or packing: concat");
  EXPECT_TRUE(accepts({"data.packing=pad", "data.document_state=carry"}));
  EXPECT_EQ(rejects("data.packing=tight"),
            "--set data.packing: \"tight\" is not one of the choices. Use concat, pack or pad");
  EXPECT_FALSE(accepts({"data.packing=pad", "data.order=rwkv_magic_prime"}));
  EXPECT_EQ(rejects("data.magic_prime=11"),
            "--set data.magic_prime: is only for order: rwkv_magic_prime. Remove it");
  EXPECT_TRUE(accepts({"data.order=rwkv_magic_prime", "data.magic_prime=11"}));
  EXPECT_TRUE(accepts({"data.order=rwkv_magic_prime", "data.train.1={path: b}"}));
  EXPECT_FALSE(accepts({"data.order=rwkv_magic_prime", "data.magic_prime=11", "data.train.1={path: b}"}));
  EXPECT_FALSE(accepts({"data.train.0.epochs_max=0"}));
  EXPECT_TRUE(accepts({"data.train.0.epochs_max=0.5"}));
  const Overrides streams = {"data.order=sequential", "data.document_state=carry"};
  const auto also = [&](const std::string& one) {
    Overrides all = streams;
    all.push_back(one);
    return error_of(kMinimal, all);
  };
  EXPECT_TRUE(accepts(streams));
  EXPECT_EQ(also("data.train.1={path: b}"),
            "--set data.order: sequential with document_state: carry lets every sequence of a step read its "
            "own part "
            "of the data, which must be one source. Use reset, or order: shuffle");
  EXPECT_NE(also("data.packing=pad"), "no error");
  EXPECT_NE(also("data.seq_len=[{until: 10k, value: 32}, {value: 64}]"), "no error");
}

TEST(Validate, SequenceLengths) {
  EXPECT_TRUE(accepts({"data.seq_len=[{until: 10k, value: 16}, {until: 20k, value: 32}, {value: 64}]"}));
  EXPECT_TRUE(accepts({"data.seq_len=[{value: 64}]"}));
  EXPECT_EQ(error_of(kMinimal, {"data.seq_len=[{until: 10k, value: 48}, {value: 64}]"}),
            "--set data.seq_len: data.seq_len.0.value: 48 does not divide the last length, 64. Use a divisor "
            "of it: "
            "every step has the same tokens");
  EXPECT_EQ(rejects("data.seq_len=[{until: 10k, value: 16}, {until: 10100, value: 32}, {value: 64}]"),
            "--set data.seq_len: data.seq_len.1.until: 10100 is not a step of 1024 tokens past the one "
            "before. Raise "
            "it");
  EXPECT_EQ(
      rejects("data.seq_len=[{value: 16}, {value: 64}]"),
      "--set data.seq_len: data.seq_len.0: has no until, and is not the last. Say how many tokens it is for");
  EXPECT_EQ(rejects("data.seq_len=[{until: 10k, value: 64}]"),
            "--set data.seq_len: data.seq_len.0.until: ends the last length. Remove it: that one has no end");
  EXPECT_FALSE(accepts({"data.seq_len=[]"}));
  EXPECT_FALSE(accepts({"data.seq_len=[{until: 10k}, {value: 64}]"}));
  EXPECT_EQ(rejects("data.seq_len=long"),
            "--set data.seq_len: \"long\" is not a count. Use 524288, 512Ki or 0.5M");
  const RunConfig c = parse(kMinimal, {"data.seq_len=[{until: 10k, value: 16}, {value: 64}]"});
  EXPECT_EQ(c.sequences_per_step(), 16);
  EXPECT_EQ(c.most_sequences_per_step(), 64);
}

TEST(Validate, OutputsAndNames) {
  EXPECT_EQ(rejects("eval.every=1Mtokens"),
            "--set eval.every: 1000000tokens is not a number of steps. Use e.g. 100steps");
  EXPECT_EQ(rejects("run.dir=\"runs/{nam}\""),
            "--set run.dir: \"runs/{nam}\" has braces that are not {name}. Use {name} or none");
  for (const char* bad : {"version=2", "threads=0", "run.name=a/b", "run.name=..", "log.every=0steps",
                          "eval.samples.top_p=0", "eval.samples.temperature=-1", "eval.samples.max_tokens=0",
                          "eval.samples.prompts=[\"\"]", "checkpoint.keep.last=0", "checkpoint.every.steps=0",
                          "checkpoint.every.time=0s", "model.init={from: \"\"}"}) {
    EXPECT_FALSE(accepts({bad})) << bad;
  }
  EXPECT_EQ(parse(kMinimal).run.dir, "runs/t");
  EXPECT_EQ(parse(kMinimal, {"run.dir=\"{name}/{name}\"", "run.name=xx"}).run.dir, "xx/xx");
}

TEST(Validate, TotalSteps) {
  EXPECT_EQ(parse(kMinimal).total_steps(), 100);
  EXPECT_EQ(parse(kMinimal, {"budget.tokens=10300"}).total_steps(), 10)
      << "whichever comes first, in whole steps";
  EXPECT_EQ(parse(kMinimal, {"budget={wall: 1h}", "schedule.type=constant"}).total_steps(), std::nullopt);
  EXPECT_EQ(parse(kMinimal).sequences_per_step(), 16);
}

}  // namespace
}  // namespace rt::config
