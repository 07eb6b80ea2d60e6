#include "tests/apps/apps_support.h"

namespace rt::apps_test {
namespace {

class Rwkv : public Program {
 protected:
  // The figure on the line that starts with `key`.
  static double figure(const std::string& text, const std::string& key) {
    const auto at = text.find(key);
    return at == std::string::npos ? -1 : std::stod(text.substr(at + key.size()));
  }
};

TEST_F(Rwkv, VerbsAndMistakes) {
  const Outcome bare = run({"rwkv"});
  EXPECT_EQ(bare.status, 2);
  for (const char* verb : {"check", "data", "generate", "eval", "inspect", "verify", "bench"}) {
    EXPECT_TRUE(has(bare.err, std::string("\n  ") + verb + " ")) << verb;
    const Outcome help = run({"rwkv", verb, "--help"});
    EXPECT_TRUE(succeeds(help)) << verb;
    EXPECT_FALSE(help.out.empty()) << verb;
  }
  EXPECT_TRUE(refuses(run({"rwkv", "train"}), 2, "\"train\" is not a verb"));
  EXPECT_TRUE(refuses(run({"rwkv", "generate", "somewhere"}), 2, "--prompt"));
  EXPECT_TRUE(refuses(run({"rwkv", "generate", "/no/such/model", "-p", "x"}), 4, "/no/such/model"));
  EXPECT_TRUE(refuses(run({"rwkv", "inspect", "/no/such/model"}), 4, "/no/such/model"));
  EXPECT_TRUE(refuses(run({"rwkv", "bench", "gem"}), 2, "\"gem\" is not a benchmark"));
}

TEST_F(Rwkv, GenerateEvalInspectATrainedModel) {
  ASSERT_TRUE(succeeds(run({"rwkv-train", config()})));
  const std::string model = run_dir().string();

  const auto generate = [&](const Words& more) {
    Words words = {"rwkv", "generate", model, "--prompt", "Once", "-n", "40"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  const Outcome a = generate({"--seed", "3", "--stats", "20"}), b = generate({"--seed", "3"}),
                c = generate({"--seed", "4"}), greedy = generate({"--temperature", "0"});
  ASSERT_TRUE(succeeds(a));
  EXPECT_TRUE(a.out.starts_with("Once") && a.out.ends_with("\n") && a.out.size() > 40) << a.out;
  EXPECT_EQ(a.out, b.out);
  EXPECT_NE(a.out, c.out);
  EXPECT_EQ(greedy.out, generate({"--temperature", "0", "--seed", "9"}).out);
  EXPECT_TRUE(has(a.err, "[stats] position=24, ") && has(a.err, "[stats] position=44, ")) << a.err;
  EXPECT_TRUE(has(a.err, "[generated] position=44, tokens=40, tokens_per_s=")) << a.err;
  EXPECT_TRUE(refuses(generate({"--top-p", "0"}), 2, "top-p"));
  EXPECT_TRUE(succeeds(generate({"--precision", "bf16"})));

  // What the trainer logged last, recomputed from the checkpoint with other rows per batch.
  const std::string metrics = slurp(run_dir() / "metrics.jsonl");
  const auto logged = nlohmann::json::parse(metrics.substr(metrics.rfind("{\"event\":\"eval\"")));
  const fs::path data = run_dir() / "data" / "stories-bytes-2-2000";
  const Outcome eval =
      run({"rwkv", "eval", model, "--data", data.string(), "--seq-len", "32", "--rows", "3"});
  ASSERT_TRUE(succeeds(eval));
  EXPECT_EQ(logged["step"], 8);
  EXPECT_NEAR(figure(eval.out, "loss"), logged["loss"].get<double>(), 1e-8) << eval.out;
  EXPECT_NEAR(figure(eval.out, "bits_per_byte"), logged["bits_per_byte"].get<double>(), 1e-6);
  EXPECT_EQ(figure(eval.out, "\ntokens "), logged["tokens"].get<double>());
  // The same text, not yet tokenized.
  const Outcome text = run({"rwkv", "data", "stories", "--seed", "2", "--tokens", "2k"});
  spew(dir_ / "text.txt", text.out);
  const Outcome raw =
      run({"rwkv", "eval", model, "--data", (dir_ / "text.txt").string(), "--seq-len", "32", "--carry"});
  ASSERT_TRUE(succeeds(raw));
  EXPECT_NEAR(figure(raw.out, "loss"), logged["loss"].get<double>(), 0.1) << raw.out;
  EXPECT_EQ(figure(raw.out, "\ntokens "), logged["tokens"].get<double>());
  EXPECT_TRUE(refuses(run({"rwkv", "eval", model}), 2, "--data"));
  EXPECT_TRUE(refuses(run({"rwkv", "eval", model, "--data", "/no/such"}), 3, "/no/such"));

  const Outcome inspect = run({"rwkv", "inspect", model});
  ASSERT_TRUE(succeeds(inspect));
  EXPECT_TRUE(has(inspect.out, "step 8, 1.0k tokens")) << inspect.out;
  EXPECT_TRUE(has(inspect.out, "blocks.1.att.r_k ")) << inspect.out;
  EXPECT_TRUE(has(inspect.out, ", 0 not finite")) << inspect.out;
  EXPECT_TRUE(succeeds(run({"rwkv", "inspect", model, "--verify"})));
  std::string bytes = slurp(checkpoint(8) / "optimizer.safetensors");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  spew(checkpoint(8) / "optimizer.safetensors", bytes);
  EXPECT_TRUE(refuses(run({"rwkv", "inspect", model, "--verify"}), 4, "optimizer.safetensors"));
  EXPECT_TRUE(fs::exists(checkpoint(8)));
}

TEST_F(Rwkv, EvalTasks) {
  const std::string lambada = (dir_ / "lambada.jsonl").string(), results = (dir_ / "results.json").string();
  spew(lambada, "{\"text\": \"Once upon a time\"}\n{\"text\": \"there was a dog\"}\n");
  const std::string tasks = "eval.tasks=[{task: lambada, path: " + lambada + "}]";
  ASSERT_TRUE(succeeds(run({"rwkv-train", config(), "--set", tasks})));
  nlohmann::json logged, set;
  std::istringstream metrics(slurp(run_dir() / "metrics.jsonl"));
  for (std::string line; std::getline(metrics, line);) {
    const auto object = nlohmann::json::parse(line);
    if (object.value("event", "") == "task") logged = object;
    if (object.value("event", "") == "eval") set = object;
  }
  const std::string model = run_dir().string();
  ASSERT_TRUE(
      succeeds(run({"rwkv", "eval", model, "--task", "lambada", "--data", lambada, "--out", results})));
  const auto json = nlohmann::json::parse(slurp(results));
  EXPECT_EQ(json["examples"], 2);
  EXPECT_EQ(json["step"], 8);
  EXPECT_GT(json["results"]["perplexity"].get<double>(), 1);
  EXPECT_EQ(logged["task"], "lambada");
  EXPECT_EQ(logged["step"], 8);
  EXPECT_NEAR(logged["perplexity"].get<double>() / json["results"]["perplexity"].get<double>(), 1, 1e-6);
  EXPECT_EQ(logged["acc"], json["results"]["acc"]);
  const std::vector<double> ends = set["position_end"], losses = set["position_loss"];
  EXPECT_EQ(ends, (std::vector<double>{1, 2, 4, 8, 16, 32}));
  EXPECT_EQ(losses.size(), ends.size());

  spew(dir_ / "mc.jsonl", "{\"goal\": \"g\", \"sol1\": \"a\", \"sol2\": \"b\", \"label\": 0}\n");
  const Outcome choices =
      run({"rwkv", "eval", model, "--task", "multiple_choice", "--data", (dir_ / "mc.jsonl").string()});
  ASSERT_TRUE(succeeds(choices));
  EXPECT_TRUE(has(choices.out, "acc_norm")) << choices.out;
  EXPECT_TRUE(
      refuses(run({"rwkv", "eval", model, "--task", "chess", "--data", lambada}), 2, "\"chess\" is not"));
  EXPECT_TRUE(refuses(run({"rwkv", "eval", model, "--task", "wikitext"}), 2, "needs --data"));
  EXPECT_TRUE(refuses(run({"rwkv", "eval", model, "--task", "multiple_choice", "--data", lambada}), 3,
                      "lambada.jsonl:1: "));
  EXPECT_TRUE(refuses(run({"rwkv", "check", config(), "--set",
                           "eval.tasks=[{task: wikitext, path: /no/such}]", "--set", "run.name=other"}),
                      3, "/no/such"));
}

TEST_F(Rwkv, DoctorLooksAtTheMachine) {
  const Outcome here = run({"rwkv", "doctor", "--dir", dir_.string()});
  ASSERT_TRUE(succeeds(here));
  for (const char* part : {"launch             one process", "GFLOP/s in f32", "open files",
                           "MB/s written and on disk", "sent by each in an all-reduce", "0 failures"})
    EXPECT_TRUE(has(here.out, part)) << part << "\n" << here.out;
  const Outcome nowhere = run({"rwkv", "doctor", "--dir", (dir_ / "nowhere").string()});
  EXPECT_EQ(nowhere.status, 1);
  EXPECT_TRUE(has(nowhere.out, "FAIL  disk")) << nowhere.out;
  EXPECT_TRUE(has(nowhere.out, "1 failures")) << nowhere.out;
}

TEST_F(Rwkv, InterruptEndsGenerationCleanly) {
  ASSERT_TRUE(
      succeeds(run({"rwkv-train", config(), "--set", "budget.steps=1", "--set", "eval.at_start=false"})));
  const pid_t child = start({"rwkv", "generate", run_dir().string(), "-p", "Once", "-n", "0"});
  EXPECT_TRUE(wait_for("Once"));
  kill(child, SIGINT);
  const Outcome o = wait(child);
  EXPECT_TRUE(succeeds(o));
  EXPECT_TRUE(o.out.ends_with("\n"));
  EXPECT_TRUE(has(o.err, "[generated] ")) << o.err;
}

TEST_F(Rwkv, BenchesWriteTheirFigures) {
  const fs::path json = dir_ / "figures.json";
  const auto figures = [&] { return nlohmann::json::parse(slurp(json))["values"]; };
  ASSERT_TRUE(
      succeeds(run({"rwkv", "bench", "step", "--layers", "2", "--width", "32", "--head-size", "16", "--vocab",
                    "64", "--seq-len", "40", "--micro", "2", "--steps", "2", "--json", json.string()})));
  auto v = figures();
  const double phases = v["forward_ms"]["value"].get<double>() + v["backward_ms"]["value"].get<double>() +
                        v["norm_ms"]["value"].get<double>() + v["optimizer_ms"]["value"].get<double>();
  EXPECT_NEAR(phases, v["step_ms"]["value"].get<double>(), 1e-6 * phases);
  EXPECT_NEAR(v["tokens_per_s"]["value"].get<double>(), 80 / (phases / 1e3), 1);
  // 6 per active parameter and 40 N^2 for each of the 2 x 2 heads.
  EXPECT_EQ(v["flops_per_token"]["value"].get<double>(),
            6 * v["active_parameters"]["value"].get<double>() + 40 * 256 * 4);
  ASSERT_TRUE(succeeds(run({"rwkv", "bench", "wkv7", "-T", "33", "-H", "2", "-N", "16", "--repeats", "1",
                            "--json", json.string()})));
  v = figures();
  EXPECT_NEAR(v["forward_rate"]["value"].get<double>() * v["forward_ms"]["value"].get<double>() / 1e3,
              10.0 * 256 * 33 * 2 / 1e9, 1e-9);
  EXPECT_TRUE(refuses(run({"rwkv", "bench", "wkv7", "-N", "17"}), 2, "head size"));
}

}  // namespace
}  // namespace rt::apps_test
