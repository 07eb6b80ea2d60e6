#include "apps/check.h"

#include <algorithm>
#include <cstdio>

#include "apps/check_scale.h"
#include "apps/options.h"
#include "apps/verb.h"
#include "rt/core/parallel.h"
#include "rt/data/open_source.h"
#include "rt/data/stories.h"
#include "rt/infer/model_file.h"
#include "rt/io/checkpoint.h"
#include "rt/io/file.h"
#include "rt/train/corpus.h"
#include "rt/train/machine.h"
#include "rt/train/planner.h"
#include "rt/train/run_loader.h"
#include "rt/train/trainer.h"

namespace rt {
namespace {

namespace fs = std::filesystem;

// A run reaches about this much of the matrix product's speed (rwkv bench step measures it).
constexpr double kUsualFraction = 0.5;

void line(const std::string& what, const std::string& value) {
  std::printf("%-12s%s\n", what.c_str(), value.c_str());
}

std::string describe_path(const std::string& path) {
  if (data::is_foreign(path)) return path + ": token files of another program";
  if (!fs::exists(path)) return path + ": missing";
  if (!fs::exists(fs::path(path) / "index.json")) return path + ": text, to be prepared at the start";
  const data::TokenSet set(path);
  return format("{}: {} tokens, {} documents", path, human_count(double(set.size())), set.documents());
}

std::string describe_stories(const config::Stories& s) {
  return format("{} tokens of generated stories, seed {}", human_count(double(s.tokens)), s.seed);
}

void print_sources(const RunConfig& config) {
  for (const config::TrainSource& t : config.data.train) {
    line("train", t.path ? describe_path(*t.path) : describe_stories(*t.stories));
  }
  for (const config::ValidSource& v : config.data.valid) {
    std::string what;
    if (v.path) what = describe_path(*v.path);
    if (v.stories) what = describe_stories(*v.stories);
    if (v.split) what = format("the last {} % of the training data", *v.split * 100);
    line("valid", v.name + ": " + what);
  }
}

// The alphabet of a text is known when it has been read: until then the plan takes it for this.
constexpr std::int64_t kAssumedVocab = 256;

std::int64_t vocab_of(const RunConfig& config, const Corpus& corpus) {
  if (corpus.has_tokenizer()) return corpus.tokenizer().vocab_size();
  const bool stories = std::all_of(config.data.train.begin(), config.data.train.end(),
                                   [](const auto& t) { return t.stories.has_value(); });
  if (stories) return data::story_tokenizer("chars")->vocab_size();
  line("tokenizer", format("chars; the alphabet is not known yet, {} assumed below", kAssumedVocab));
  return kAssumedVocab;
}

void check_resume(const RunConfig& config) {
  const fs::path dir = config.run.dir, root = dir / "checkpoints";
  if (config.run.on_exists == config::OnExists::Error && fs::exists(dir) && !fs::is_empty(dir)) {
    fail(Exit::Config, "run.dir: {} exists. Choose another run.name, or set run.on_exists: resume.",
         dir.string());
  }
  if (config.checkpoint.resume != "auto" || !fs::exists(root)) return;
  const auto present = io::list_checkpoints(root);
  if (present.empty()) return;
  const fs::path newest = present.back().dir;
  line("resume", format("from {}, of {} checkpoints", newest.string(), present.size()));
  const fs::path file = newest / "config.yaml";
  const RunConfig stored = RunConfig::parse(io::read_text(file), file.string());
  const auto& allowed = config.checkpoint.allow_change;
  for (const config::ConfigChange& change : config::diff(stored, config)) {
    if (change.kind == config::ChangeClass::Harmless) continue;
    if (std::find(allowed.begin(), allowed.end(), change.kind) == allowed.end()) {
      fail(Exit::Config, "resume: {}. Add checkpoint.allow_change: [{}] to continue, or start a new run.",
           config::describe(change), config::to_string(change.kind));
    }
    line("", config::describe(change) + " (allowed)");
  }
}

void check_disk(const RunConfig& config, const Plan& plan) {
  const auto kept = static_cast<std::uint64_t>(config.checkpoint.keep.last) + 1;
  const std::uint64_t needed = plan.checkpoint * kept, free = io::free_disk_bytes(config.run.dir);
  const std::string sum = format("checkpoint {} x (keep {} + 1) = {}, {} free in {}",
                                 human_bytes(double(plan.checkpoint)), config.checkpoint.keep.last,
                                 human_bytes(double(needed)), human_bytes(double(free)), config.run.dir);
  if (needed > free && config.checkpoint.disk_reserve == config::DiskReserve::Auto) {
    fail(Exit::Config, "disk: {}. Lower checkpoint.keep.last or set checkpoint.disk_reserve: 0 to accept.",
         sum);
  }
  line("disk", sum);
}

void check_init(const RunConfig& config, const ModelSpec& spec) {
  if (!config.model.init.from) return;
  const fs::path file = find_weights(*config.model.init.from);
  if (spec_from_archive(io::open_archive(file)) != spec) {
    fail(Exit::Checkpoint, "model.init.from: {} is a model of other sizes than the config's.", file.string());
  }
  line("init", "weights from " + file.string());
}

}  // namespace

void check_run(const RunConfig& config) {
  if (config.threads) set_num_threads(static_cast<int>(*config.threads));
  line("run", format("{} in {}, seed {}", config.run.name, config.run.dir, config.run.seed));
  print_sources(config);
  const Corpus corpus(config, fs::path(config.run.dir) / "data", false);
  eval_tasks(config);
  const ModelSpec spec = model_spec(config.model, vocab_of(config, corpus));
  line("model", format("{}, {} layers, width {}, {} heads of {}, vocab {}", spec.arch, spec.layers,
                       spec.width, spec.heads(), spec.head_size, spec.vocab));
  check_resume(config);
  check_init(config, spec);
  const Plan plan = make_plan(config, spec, memory_for(run_device(config)), corpus.mapped_bytes());
  if (corpus.complete()) {
    const data::Loader loader = run_loader(config, corpus, plan.micro_sequences);
    if (plan.steps) {
      const auto epochs = loader.epochs_at(static_cast<std::uint64_t>(*plan.steps));
      for (std::size_t j = 0; j < epochs.size(); ++j) {
        const std::string of = epochs.size() == 1 ? "" : " of " + corpus.train()[j].tokens->name();
        line(j == 0 ? "epochs" : "", format("{} over {} samples{}", epochs[j], loader.rows(j), of));
      }
    }
  }
  std::puts("plan");
  std::fputs(describe(plan).c_str(), stdout);
  check_disk(config, plan);
  const Yardstick yardstick = measure_yardstick(plan.device, compute_dtype(config));
  const double flops = yardstick.flops;
  const double rate = kUsualFraction * flops / plan.flops_per_token;
  std::string time = format("{} tokens/s at {} % of {} GFLOP/s {}, {} threads", static_cast<long>(rate),
                            static_cast<int>(100 * kUsualFraction), static_cast<long>(flops / 1e9),
                            yardstick.name, num_threads());
  if (plan.steps) {
    const double tokens = double(*plan.steps) * double(plan.tokens_per_step);
    time = "about " + human_seconds(tokens / rate) + ": " + time;
  }
  line("time", time);
}

namespace {

// The model's shapes for `--world`: the data is looked at only where the vocabulary is its to say.
ModelSpec spec_for_scale(const RunConfig& config) {
  if (config.model.vocab) return model_spec(config.model, 0);
  return model_spec(config.model, vocab_of(config, Corpus(config, fs::path(config.run.dir) / "data", false)));
}

}  // namespace

int check_main(int argc, char** argv) {
  std::string config;
  std::vector<std::string> overrides;
  ScaleQuestion scale;
  Options options(
      "rwkv check",
      "Says what a run would take, and what is wrong with it. Writes nothing but --csv and --plot.");
  options.positional("CONFIG", config, "The run, a YAML file");
  options.texts("--set", overrides, "Replaces one key: section.key=value. Repeatable");
  options.text("--world", scale.world, "On so many GPUs, by prediction: 32, or a table: 1,8,64 or sweep");
  std::string names;
  for (const Machine& m : machines()) names += (names.empty() ? "" : ", ") + std::string(m.name);
  options.text("--machine", scale.machine, "What --world is about: " + names);
  options.text("--sizes", scale.sizes, "RWKV-7 models instead of the config's: 0.1B,7.2B or all");
  options.count("--tokens-per-gpu", scale.tokens_per_gpu,
                "A step grows with the GPUs; 0: batch.global_tokens");
  options.text("--csv", scale.csv, "Writes the table there");
  options.text("--plot", scale.plot, "Writes the MFU over GPUs there, as SVG");
  options.text("--points", scale.points, "For --plot: published model,gpus,mfu,label, CSV");
  if (!options.parse(argc, argv)) return 0;
  const RunConfig run = RunConfig::load(config, overrides);
  const bool more =
      scale.csv || scale.plot || scale.points || !scale.sizes.empty() || scale.tokens_per_gpu > 0;
  if (scale.world.empty() && scale.machine.empty() && more)
    fail(Exit::Config, "rwkv check: --sizes, --tokens-per-gpu, --csv, --plot and --points go with --world.");
  if (scale.world.empty() != scale.machine.empty())
    fail(Exit::Config, "rwkv check: --world and --machine need each other. Give both or neither.");
  if (scale.world.empty()) {
    check_run(run);
  } else {
    check_scale(run, spec_for_scale(run), scale);
  }
  return 0;
}

}  // namespace rt
