// What is wrong, where, and what to do: each message as the user sees it.
#include "config/schema.h"
#include "tests/config/config_support.h"

namespace rt::config {
namespace {

TEST(Messages, MinimalConfigIsAccepted) { EXPECT_EQ(error_of(kMinimal), "no error"); }

TEST(Messages, UnknownKey) {
  EXPECT_EQ(
      error_of(kMinimal + "schedule:\n  tipe: cosine\n"),
      "c.yaml:14:3: schedule.tipe: unknown key. Did you mean schedule.type? (allowed: type, warmup, decay, "
      "decay_shape, final)");
  EXPECT_EQ(error_of(kMinimal + "optimiser: {}\n").substr(0, 72),
            "c.yaml:13:1: optimiser: unknown key. Did you mean optimizer? (allowed: i");
  EXPECT_EQ(error_of("optimizer:\n  lerning_rate: 1\n"),
            "c.yaml:2:3: optimizer.lerning_rate: unknown key. Did you mean optimizer.lr? (allowed: type, lr, "
            "betas, "
            "eps, weight_decay, groups, grad_clip, moments)");
  EXPECT_EQ(error_of(kMinimal + "log: {qqqqqqqq: 1}\n"),
            "c.yaml:13:7: log.qqqqqqqq: unknown key. (allowed: every, console)");
  EXPECT_EQ(error_of(kMinimal + "parallel: {zerro: 1}\n"),
            "c.yaml:13:12: parallel.zerro: unknown key. Did you mean parallel.zero? (allowed: recompute, "
            "zero, context)");
}

TEST(Messages, RightKeyWrongPlace) {
  EXPECT_EQ(error_of(kMinimal + "lr: 1\n"),
            "c.yaml:13:1: lr: not a top-level key; it belongs under optimizer");
  EXPECT_EQ(error_of(kMinimal + "eval:\n  seq_len: 5\n"),
            "c.yaml:14:3: eval.seq_len: not a key of eval; it belongs under data");
  EXPECT_EQ(error_of(kMinimal + "eval:\n  precision: f32\n"),
            "c.yaml:14:3: eval.precision: not a key of eval; it belongs at the top level");
  EXPECT_EQ(error_of(kMinimal + "last: 5\n"),
            "c.yaml:13:1: last: not a top-level key; it belongs under checkpoint.keep");
  EXPECT_EQ(error_of(kMinimal + "split: 5\n"),
            "c.yaml:13:1: split: not a top-level key; it belongs under data.valid");
}

TEST(Messages, SynonymsNameKeysThatExist) {
  const auto homes = homes_of_keys();
  for (const auto& [spelling, target] : known_synonyms()) {
    const auto dot = target.rfind('.');
    const auto home = homes.find(std::string(target.substr(dot + 1)));
    ASSERT_NE(home, homes.end()) << target;
    const auto& sections = home->second;
    EXPECT_NE(std::find(sections.begin(), sections.end(), target.substr(0, dot)), sections.end()) << target;
    EXPECT_FALSE(homes.contains(std::string(spelling))) << spelling << " is itself a key";
  }
}

TEST(Messages, Duplicates) {
  EXPECT_EQ(error_of(kMinimal + "  seq_len: 128\n"),
            "c.yaml:13:3: data.seq_len: set twice (first at line 12). Remove one of the two");
  EXPECT_EQ(error_of(kMinimal + "run: {name: u}\n"),
            "c.yaml:13:1: run: set twice (first at line 1). Remove one of the two");
  EXPECT_EQ(error_of(kMinimal + "  valid: [{name: a, split: 0.1}, {name: b, name: c}]\n"),
            "c.yaml:13:44: data.valid.1.name: set twice (first at line 13). Remove one of the two");
}

TEST(Messages, TypesAndUnits) {
  EXPECT_EQ(error_of("batch:\n  global_tokens: 512kk\n"),
            "c.yaml:2:3: batch.global_tokens: \"512kk\" is not a count. Use 524288, 512Ki or 0.5M");
  EXPECT_EQ(error_of("threads: many\n"),
            "c.yaml:1:1: threads: \"many\" is not a count. Use auto, 524288, 512Ki or 0.5M");
  EXPECT_EQ(error_of("optimizer: {lr: fast}\n"),
            "c.yaml:1:13: optimizer.lr: \"fast\" is not a number. Use digits such as 0.1 or 6.0e-4");
  EXPECT_EQ(error_of("eval: {at_start: yes}\n"),
            "c.yaml:1:8: eval.at_start: \"yes\" is not true or false. Use true or false");
  EXPECT_EQ(error_of("budget: {wall: 30}\n"),
            "c.yaml:1:10: budget.wall: \"30\" is not a duration. Use 45s, 30m or 23h30m");
  EXPECT_EQ(error_of("log: {every: 10}\n"),
            "c.yaml:1:7: log.every: \"10\" is not a number of steps, tokens or percent. Use 200steps, "
            "1Mtokens or 20%");
  EXPECT_EQ(
      error_of("schedule: {type: cosin}\n"),
      "c.yaml:1:12: schedule.type: \"cosin\" is not one of the choices. Use cosine, linear, wsd or constant");
  EXPECT_EQ(error_of("model: 5\n"),
            "c.yaml:1:1: model: is a single value, not a section. Write its keys indented below it");
  EXPECT_EQ(error_of("model:\n  layers: [1]\n"),
            "c.yaml:2:3: model.layers: is a list, not a count. Use 524288, 512Ki or 0.5M");
  EXPECT_EQ(error_of("model:\n  layers:\n"),
            "c.yaml:2:3: model.layers: is empty, not a count. Use 524288, 512Ki or 0.5M");
  EXPECT_EQ(error_of("eval: {samples: {prompts: Once}}\n"),
            "c.yaml:1:18: eval.samples.prompts: is a single value, not a list. Write it as [...] or as lines "
            "starting "
            "with \"- \"");
  EXPECT_EQ(error_of("optimizer: {betas: [0.9]}\n"), "c.yaml:1:13: optimizer.betas: has 1 values. Give 2");
  EXPECT_EQ(error_of("optimizer: {betas: [0.9,\n  x]}\n"),
            "c.yaml:2:3: optimizer.betas.1: \"x\" is not a number. Use digits such as 0.1 or 6.0e-4");
  EXPECT_EQ(error_of("model: {init: zeros}\n"),
            "c.yaml:1:9: model.init: \"zeros\" is not an initialisation. Use arch or {from: path}");
  EXPECT_EQ(error_of("checkpoint: {allow_change: [model]}\n"),
            "c.yaml:1:29: checkpoint.allow_change.0: \"model\" is not one of the choices. Use lr, schedule, "
            "data, batch "
            "or budget");
}

TEST(Messages, YamlTraps) {
  EXPECT_EQ(
      error_of("run: {name: no}\n"),
      "c.yaml:1:7: run.name: value is boolean (YAML reads bare no/on/yes as true/false). Quote it: \"no\"");
  EXPECT_EQ(parse(kMinimal, {"run.name=\"no\""}).run.name, "no");
  EXPECT_EQ(parse(kMinimal).optimizer.lr, 1e-3) << "1e-3 without a dot is a number";
  EXPECT_EQ(error_of("run: !!str x\n"),
            "c.yaml:1:6: run: YAML tags such as tag:yaml.org,2002:str are not read. Remove it");
  EXPECT_EQ(error_of("? [a, b]\n: 1\n"), "c.yaml:1:3: a key must be a plain word. Check brackets and quotes");
  EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"),
            "c.yaml: holds more than one YAML document. Keep one and remove the \"---\" lines");
  EXPECT_EQ(error_of("just text\n"),
            "c.yaml:1:1: the file is a single value, not \"key: value\" lines. Start it with e.g. "
            "\"run:\"");
  const std::string broken = error_of("run: {name: x\nmodel: 1\n");
  EXPECT_EQ(broken.substr(0, 9), "c.yaml:2:") << broken;
  EXPECT_NE(broken.find("not valid YAML"), std::string::npos) << broken;
}

TEST(Messages, MissingKeys) {
  EXPECT_EQ(error_of(""), "c.yaml: run.name: missing. Add under run e.g. \"name: my-run\"");
  EXPECT_EQ(error_of("run: {name: x}\nmodel:\n  width: 64\n"),
            "c.yaml:2:1: model.layers: missing. Add under model e.g. \"layers: 12\"");
  EXPECT_EQ(error_of(kMinimal + "  valid: [{split: 0.1}]\n"),
            "c.yaml:13:11: data.valid.0.name: missing. Add under data.valid.0 e.g. \"name: main\"");
}

TEST(Messages, StayOneLineAndShort) {
  EXPECT_EQ(error_of("threads: \"a\\nb\"\n").substr(0, 27), "c.yaml:1:1: threads: \"a b\" ");
  EXPECT_LT(error_of("threads: " + std::string(5000, 'x') + "\n").size(), 200u);
}

// Broken text is either read or refused with one line and Exit::Config: nothing else, and never a crash.
TEST(Messages, DamagedTextIsAlwaysAConfigError) {
  const std::string dump = parse(kMinimal, {"eval.samples.prompts=[a, \"b\"]"}).dump();
  const std::string spice = "{}[]:,&*!|>%@`'\"#-? \n\t\\0x\x04\xc3";
  std::uint64_t state = 1;
  const auto draw = [&](std::size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>((state >> 33) % n);
  };
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::string text = dump;
    for (std::size_t edits = 1 + draw(3); edits > 0; --edits) {
      const std::size_t at = draw(text.size());
      if (draw(3) == 0) {
        text.erase(at, 1 + draw(20));
      } else {
        text[at] = spice[draw(spice.size())];
      }
    }
    refused += error_of(text) == "no error" ? 0 : 1;
  }
  EXPECT_GT(refused, 200);
}

TEST(Messages, AliasBombsAreRefused) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string below = std::to_string(i - 1), here = std::to_string(i);
    text += "a" + here + ": &a" + here + " [";
    for (int j = 0; j < 9; ++j) text += (j > 0 ? ", *a" : "*a") + below;
    text += "]\n";
  }
  EXPECT_NE(error_of(text).find("aliases expand to over"), std::string::npos) << error_of(text);
}

}  // namespace
}  // namespace rt::config
