// include, model.spec, --set, and the files under configs/.
#include "tests/config/config_support.h"

namespace rt::config {
namespace {

std::string load_error(const std::string& file, const Overrides& overrides = {}) {
  return error_of([&] { RunConfig::load(file, overrides); });
}

TEST(Include, MergesLeftToRightAndTheFileItselfWins) {
  const TempDir dir;
  dir.write("base/a.yaml", "include: b.yaml\n" + kMinimal);
  dir.write("base/b.yaml",
            "threads: 2\nlog: {every: 7steps, console: lines}\neval: {samples: {prompts: [x, y]}}\n");
  dir.write("c.yaml", "log: {every: 8steps}\neval: {samples: {prompts: [z], top_k: 4}}\n");
  const auto file = dir.write("run.yaml", "include: [base/a.yaml, c.yaml]\nmodel: {layers: 9}\nlog:\n");
  const RunConfig c = RunConfig::load(file);
  EXPECT_EQ(c.threads, 2);
  EXPECT_EQ(c.model.layers, 9);
  EXPECT_EQ(c.model.width, 64) << "maps merge deeply";
  EXPECT_EQ(c.log.every, steps(8)) << "later wins";
  EXPECT_EQ(c.log.console, Console::Lines) << "an empty section removes nothing";
  EXPECT_EQ(c.eval.samples.prompts, std::vector<std::string>{"z"}) << "lists replace";
}

TEST(Include, ErrorsNameTheFileThatHoldsThem) {
  const TempDir dir;
  const auto base = dir.write("base/a.yaml", kMinimal + "log:\n  evry: 5steps\n");
  const auto file = dir.write("run.yaml", "include: base/a.yaml\n");
  EXPECT_EQ(load_error(file),
            base + ":14:3: log.evry: unknown key. Did you mean log.every? (allowed: every, console)");
  dir.write("base/a.yaml", kMinimal);
  const auto wide = dir.write("run.yaml", "include: base/a.yaml\nmodel:\n  head_size: 48\n");
  EXPECT_EQ(load_error(wide),
            base + ":4:3: model.width: 64 is not a multiple of head_size=48. Nearest: 48, 96");
}

TEST(Include, CyclesAndMissingFiles) {
  const TempDir dir;
  const auto a = dir.write("a.yaml", "include: [b.yaml]\n"),
             b = dir.write("b.yaml", "include:\n  - a.yaml\n");
  EXPECT_EQ(load_error(a), b + ":2:5: include: the files include each other (" + a + " -> " + b + " -> " + a +
                               "). Remove one of the includes");
  const auto c = dir.write("c.yaml", "include: [nothere.yaml]\n");
  EXPECT_EQ(load_error(c), c + ":1:11: include: no such file \"" + dir.path("nothere.yaml") +
                               "\". Paths are relative to the file that names them");
  EXPECT_EQ(load_error(dir.path("none.yaml")),
            dir.path("none.yaml") + ": no such file. Give the path of a YAML file");
  EXPECT_EQ(load_error(dir.path("")), dir.path("") + ": not a regular file. Give the path of a YAML file");
  // The same file twice is no cycle.
  dir.write("d.yaml", "threads: 2\n");
  EXPECT_EQ(RunConfig::load(dir.write("e.yaml", "include: [d.yaml, d.yaml]\n" + kMinimal)).threads, 2);
}

TEST(Spec, FillsWhatTheRunLeavesOpen) {
  const TempDir dir;
  const auto spec = dir.write("m/tiny.yaml", "model: {layers: 5, width: 128, head_size: 32}\n");
  std::string text = kMinimal;
  text.replace(text.find("  layers: 2\n"), 12, "  spec: m/tiny.yaml\n");
  const auto file = dir.write("run.yaml", text);
  const RunConfig c = RunConfig::load(file);
  EXPECT_EQ(c.model.layers, 5);
  EXPECT_EQ(c.model.width, 64) << "the run's own key wins";
  EXPECT_EQ(c.model.head_size, 32);
  EXPECT_EQ(RunConfig::parse(c.dump(), "dump"), c) << "a dump needs no other file";
  dir.write("m/tiny.yaml", "model: {layers: 5}\nlog: {}\n");
  EXPECT_EQ(load_error(file),
            spec + ":2:1: log: a file named by model.spec holds a model section only. Remove this key");
  dir.write("m/tiny.yaml", "model: {spec: x.yaml}\n");
  EXPECT_EQ(load_error(file),
            spec + ":1:9: model.spec: a file named by model.spec cannot name another. Use include");
  EXPECT_EQ(load_error(file, {"model.spec=/none.yaml"}),
            "--set model.spec: no such file \"/none.yaml\". Paths are relative to the file that names them");
}

TEST(Set, OverridesInOrder) {
  const RunConfig c =
      parse(kMinimal, {"optimizer.lr=2e-3", "optimizer.lr=5e-4", "data.train.0.path=b.txt",
                       "data.train.1={path: c.txt, weight: 3}", "eval.samples.prompts=[\"a=b\"]",
                       "checkpoint.every.time=null", "data.valid.0.name=v", "data.valid.0.path=v.txt"});
  EXPECT_EQ(c.optimizer.lr, 5e-4);
  ASSERT_EQ(c.data.train.size(), 2u);
  EXPECT_EQ(c.data.train[0].path, "b.txt");
  EXPECT_EQ(c.data.train[1].weight, 3);
  EXPECT_EQ(c.eval.samples.prompts, std::vector<std::string>{"a=b"});
  EXPECT_EQ(c.checkpoint.every.time, std::nullopt);
  ASSERT_EQ(c.data.valid.size(), 1u);
  EXPECT_EQ(c.data.valid[0].path, "v.txt");
}

TEST(Set, ErrorsAreLocatedAtTheOption) {
  const auto rejects = [](const std::string& text) { return error_of(kMinimal, {text}); };
  EXPECT_EQ(rejects("optimizer.lr=fast"),
            "--set optimizer.lr: \"fast\" is not a number. Use digits such as 0.1 or 6.0e-4");
  EXPECT_EQ(rejects("optimizer.lrr=1"),
            "--set optimizer.lrr: unknown key. Did you mean optimizer.lr? (allowed: type, lr, betas, eps, "
            "weight_decay, "
            "groups, grad_clip, moments)");
  EXPECT_EQ(rejects("log={evry: 1step}"),
            "--set log: log.evry: unknown key. Did you mean log.every? (allowed: every, console)");
  EXPECT_EQ(rejects("lr"), "--set lr: not of the form key=value. Use e.g. --set optimizer.lr=1.0e-3");
  EXPECT_EQ(rejects("=1"), "--set =1: not of the form key=value. Use e.g. --set optimizer.lr=1.0e-3");
  EXPECT_EQ(rejects("a..b=1"), "--set a..b=1: not of the form key=value. Use e.g. --set optimizer.lr=1.0e-3");
  EXPECT_EQ(rejects("include=x.yaml"),
            "--set include: files are included by the config. Write include: there");
  EXPECT_EQ(rejects("data.train.5.path=x"),
            "--set data.train.5.path: data.train: is a list of 1, \"5\" is no place in it. Use 0 to 1");
  EXPECT_EQ(rejects("model.layers.x=1"),
            "--set model.layers.x: model.layers: is the single value \"2\", it has no \"x\" inside");
  EXPECT_EQ(rejects("run.name=on"),
            "--set run.name: value is boolean (YAML reads bare no/on/yes as true/false). Quote it: \"on\"");
  EXPECT_EQ(rejects("eval.samples.prompts=[x").substr(0, 27), "--set eval.samples.prompts:");
  const std::string broken = rejects("run.name=\"x");
  EXPECT_EQ(broken.substr(0, 31), "--set run.name: not valid YAML:") << broken;
  EXPECT_EQ(rejects("log={every: 1step, every: 2steps}"),
            "--set log: log.every: set twice. Remove one of the two");
}

TEST(Shipped, ConfigsLoadAndRoundTrip) {
  const std::filesystem::path configs = std::filesystem::path(RT_SOURCE_DIR) / "configs";
  const RunConfig quick = RunConfig::load(configs / "quickstart.yaml");
  EXPECT_EQ(RunConfig::parse(quick.dump(), "dump"), quick);
  EXPECT_EQ(quick.eval.samples.prompts, (std::vector<std::string>{"Once", "There once was"}));
  EXPECT_TRUE(quick.data.train.at(0).stories.has_value()) << "needs no download";
  const RunConfig shakespeare =
      RunConfig::load(configs / "run/shakespeare_char.yaml", Overrides{"data.train.0.path=/x.txt"});
  EXPECT_EQ(RunConfig::parse(shakespeare.dump(), "dump"), shakespeare);
  EXPECT_EQ(shakespeare.sequences_per_step(), 12);
  EXPECT_EQ(shakespeare.data.train.at(0).path, "/x.txt");
}

TEST(Shipped, ModelsServeAsSpecAndAsInclude) {
  const std::filesystem::path models = std::filesystem::path(RT_SOURCE_DIR) / "configs/model";
  for (const auto& entry : std::filesystem::directory_iterator(models)) {
    const std::string spec = "model.spec=" + entry.path().string();
    EXPECT_EQ(error_of(kMinimal, {"model={}", spec}), "no error") << entry.path();
    EXPECT_EQ(error_of("include: " + entry.path().string() + "\n" + kMinimal, {"model.head_size=16"}),
              "no error");
  }
}

}  // namespace
}  // namespace rt::config
