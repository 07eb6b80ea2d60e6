#include <algorithm>
#include <cstdlib>

#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/core/parallel.h"
#include "rt/infer/model_file.h"
#include "rt/io/checkpoint.h"
#include "rt/io/file.h"
#include "rt/train/machine.h"
#include "rt/train/run_loader.h"
#include "rt/train/trainer.h"

namespace rt {
namespace {

namespace fs = std::filesystem;

Schedule schedule_of(const RunConfig& config, std::int64_t total) {
  const std::int64_t tokens = config.batch.global_tokens;
  Schedule s;
  switch (config.schedule.type) {
    case config::ScheduleType::Cosine: s.shape = ScheduleShape::Cosine; break;
    case config::ScheduleType::Linear: s.shape = ScheduleShape::Linear; break;
    case config::ScheduleType::Wsd: s.shape = ScheduleShape::Wsd; break;
    case config::ScheduleType::Constant: s.shape = ScheduleShape::Constant; break;
  }
  switch (config.schedule.decay_shape.value_or(config::DecayShape::Linear)) {
    case config::DecayShape::Linear: s.decay_shape = DecayShape::Linear; break;
    case config::DecayShape::OneMinusSqrt: s.decay_shape = DecayShape::OneMinusSqrt; break;
    case config::DecayShape::Cosine: s.decay_shape = DecayShape::Cosine; break;
  }
  s.lr = config.optimizer.lr;
  s.final_fraction = config.schedule.final;
  s.total = total;
  s.warmup = config.schedule.warmup.steps(tokens, total);
  if (config.schedule.decay) s.decay = config.schedule.decay->steps(tokens, total);
  return s;
}

// Decay scales become absolute weight decays; the optimizer multiplies by one.
void apply_groups(ParamStore& store, const config::OptimizerSection& section) {
  for (Parameter* p : store.parameters()) p->decay_scale *= static_cast<float>(section.weight_decay);
  for (auto group = section.groups.rbegin(); group != section.groups.rend();
       ++group) {  // the first match wins
    const int matched = store.set_lr_scale(group->match, static_cast<float>(group->lr_scale));
    if (matched == 0) {
      fail(Exit::Config, "optimizer.groups: \"{}\" matches no parameter, e.g. {}.", group->match,
           store.parameters().back()->name);
    }
    if (group->weight_decay) store.set_decay_scale(group->match, static_cast<float>(*group->weight_decay));
  }
}

}  // namespace

Trainer::Trainer(RunConfig config, std::unique_ptr<Team> team)
    : config_(std::move(config)),
      team_(team ? std::move(team) : std::make_unique<Team>()),
      dir_(config_.run.dir) {
  if (config_.threads) set_num_threads(static_cast<int>(*config_.threads));
  config_text_ = config_.dump();
  check_processes();
  share_ = share_of(config_, team_->rank(), team_->size());
  device_ = team_->device(run_device(config_));
  config_.device = device_;
  if (!team_->leads()) config_.log.console = config::Console::Quiet;
  console_ = std::make_unique<Console>(config_.log.console);
  team_->lead("run directory", [&] { open_run_directory(); });
  const auto open_data = [&] { corpus_ = std::make_unique<Corpus>(config_, dir_ / "data"); };
  team_->enter("data", std::chrono::hours(2));  // which may have to be made
  team_->lead("data", open_data, open_data);
  tasks_ = eval_tasks(config_);
  spec_ = model_spec(config_.model, corpus_->tokenizer().vocab_size());
  const auto local = static_cast<std::size_t>(team_->launch().local_world);
  plan_ = make_plan(config_, spec_, memory_for(device_) / (device_.kind == DeviceKind::Cpu ? local : 1),
                    corpus_->mapped_bytes(),
                    {static_cast<int>(config_.parallel.zero), team_->rank(), team_->size()});
  total_steps_ = plan_.steps;
  team_->lead("disk", [&] { check_disk(); });
  log::info("plan", "device={}, memory={}, micro_sequences={}, accumulation={}", to_string(device_),
            human_bytes(static_cast<double>(plan_.total())), plan_.micro_sequences, plan_.accumulation);
  if (config_.log.console != config::Console::Quiet) console_->say(describe(plan_));
  loader_ = std::make_unique<data::Loader>(run_loader(config_, *corpus_, plan_.micro_sequences));
  team_->enter("connect");
  connect();
  if (plan_.sharding.shares(3) && team_->leads() &&
      (!config_.eval.samples.prompts.empty() || !tasks_.empty())) {
    log::warn(
        "run",
        "parallel.zero: 3: no process holds the whole model, so eval.samples and eval.tasks are left out; "
        "rwkv generate and rwkv eval do them on a checkpoint");
  }
  team_->enter("load", std::chrono::minutes(30));
  build_model();
  start_or_resume();
  // Not before a changed config has been accepted.
  if (team_->leads()) io::atomic_write(dir_ / "config.yaml", config_text_);
  started_ = last_save_ = last_report_ = std::chrono::steady_clock::now();
  reported_tokens_ = progress_.tokens;
  team_->ready();
}

// Only with those who would train the same model, on the same data.
void Trainer::connect() {
  if (team_->size() == 1) return;
  RunConfig shared = config_;
  shared.device = {};  // each has its own
  shared.dist = {};
  shared.threads = {};
  shared.log = {};
  dist::Facts same;
  const std::string text = shared.dump();
  same["configuration"] = std::to_string(io::xxh3(std::as_bytes(std::span(text))));
  same["training data"] = std::to_string(loader_->fingerprint());
  same["tokenizer"] = std::to_string(corpus_->tokenizer().fingerprint());
  same["batch.micro_sequences"] = std::to_string(plan_.micro_sequences);
  team_->connect(std::move(same), device_, share_.slices);
}

void Trainer::check_processes() const {
  const std::int64_t slices = config_.parallel.context;
  if (team_->size() % slices == 0) return;
  fail(
      Exit::Config,
      "parallel.context: {} processes share a sequence, but the run has {}. Start a multiple of {}, or lower "
      "parallel.context.",
      slices, team_->size(), slices);
}

void Trainer::open_run_directory() {
  const bool used = fs::exists(dir_ / "checkpoints") && !io::list_checkpoints(dir_ / "checkpoints").empty();
  const bool exists = fs::exists(dir_) && !fs::is_empty(dir_);
  if (config_.run.on_exists == config::OnExists::Error && exists) {
    fail(Exit::Config, "run.dir: {} exists. Choose another run.name, or set run.on_exists: resume.",
         dir_.string());
  }
  if (config_.run.on_exists == config::OnExists::OverwriteIfEmpty && used) {
    fail(Exit::Config,
         "run.dir: {} holds checkpoints. Choose another run.name, or set run.on_exists: resume.",
         dir_.string());
  }
  std::error_code error;
  fs::create_directories(dir_ / "checkpoints", error);
  if (error) fail(Exit::Config, "run.dir: {} cannot be created: {}.", dir_.string(), error.message());
  log::open_file(dir_ / "log.txt");
  log::info("run", "name={}, dir={}, seed={}", config_.run.name, dir_.string(), config_.run.seed);
}

void Trainer::check_disk() const {
  if (config_.checkpoint.disk_reserve == config::DiskReserve::None) return;
  const config::CheckpointKeep& keep = config_.checkpoint.keep;
  const auto kept = static_cast<std::uint64_t>(keep.last + (keep.best ? keep.best->n : 0)) + 1;
  const std::uint64_t present = io::list_checkpoints(dir_ / "checkpoints").size();
  const std::uint64_t needed = plan_.checkpoint * (kept - std::min(present, kept - 1));
  const std::uint64_t free = io::free_disk_bytes(dir_);
  if (needed <= free) return;
  fail(Exit::Config,
       "disk: checkpoint {} x (keep {} + 1) needs {} more, {} free in {}. Lower checkpoint.keep.last or set "
       "checkpoint.disk_reserve: 0 to accept.",
       human_bytes(static_cast<double>(plan_.checkpoint)), config_.checkpoint.keep.last,
       human_bytes(static_cast<double>(needed)), human_bytes(static_cast<double>(free)), dir_.string());
}

void Trainer::build_model() {
  store_ = std::make_unique<ParamStore>(device_, ParamStore::Types{DType::F32, compute_dtype(config_)},
                                        plan_.sharding);
  model_ = std::make_unique<LanguageModel>(spec_, store_->root());
  apply_groups(*store_, config_.optimizer);
  store_->allocate();
  const Rng root{static_cast<std::uint64_t>(config_.run.seed), 0};
  optimizer_ = std::make_unique<AdamW>(*store_, AdamWOptions{.beta1 = config_.optimizer.betas[0],
                                                             .beta2 = config_.optimizer.betas[1],
                                                             .eps = config_.optimizer.eps,
                                                             .weight_decay = 1.0,
                                                             .moments = config_.optimizer.moments,
                                                             .rounding = root.child("moments")});
  build_training(root);
  if (!total_steps_ && loader_->steps() != data::Mixture::kNoLimit) {  // only budget.wall was given
    total_steps_ = static_cast<std::int64_t>(loader_->steps());
    log::info("data", "every source reaches epochs_max after {} steps, where the run ends", *total_steps_);
  }
  log_mixture(*loader_, *corpus_, total_steps_);
  schedule_ = schedule_of(config_, total_steps_.value_or(std::int64_t{1} << 60));
}

void Trainer::build_training(const Rng& root) {
  before_unit_ = [this](std::size_t unit) {
    if (exchange_) exchange_->before_unit(unit);
  };
  objective_ =
      std::make_unique<NextToken>(*model_, config_.objective.l2wrap, recompute_of(config_), before_unit_);
  workspace_ = std::make_unique<Workspace>(device_, impl_of(device_), plan_.saved, plan_.scratch,
                                           plan_.grad_pool, root);
  if (needs_exchange(config_, plan_.sharding)) {
    exchange_ = std::make_unique<Exchange>(
        workspace_->ctx(), *store_, team_->data(),
        Exchange::Options{static_cast<int>(plan_.accumulation), config_.run.deterministic,
                          config_.precision.grad_reduce});
    std::vector<const Parameter*> reached;
    for (std::size_t i = 0; i < plan_.reached.size(); ++i)
      if (plan_.reached[i]) reached.push_back(store_->parameters()[i]);
    exchange_->expect_gradients_of(reached);
  }
  if (carries_state(config_)) {
    carried_ = std::make_unique<CarriedState>(
        workspace_->ctx(), *model_, compute_dtype(config_), plan_.accumulation * plan_.micro_sequences,
        plan_.micro_sequences, CarriedState::Share{team_->rank(), team_->size(), plan_.micro_batches});
  }
  const std::int64_t most_sequences =
      config_.most_sequences_per_step() / plan_.micro_batches * plan_.accumulation;
  if (share_.slices > 1) slices_ = std::make_unique<CommunicatorSlices>(share_, &team_->context());
  // RT_SYNC waits after every kernel, which cannot be recorded.
  stepper_ = std::make_unique<MicroStepper>(workspace_->ctx(), *objective_, *store_, !std::getenv("RT_SYNC"),
                                            most_sequences, carried_.get(), exchange_.get(), slices_.get());
  const config::CheckpointKeep& keep = config_.checkpoint.keep;
  Saver::Source source{dir_ / "checkpoints",  config_text_, store_.get(), optimizer_.get(), carried_.get(),
                       &corpus_->tokenizer(), team_.get(),  {},           keep.best};
  source.keep.last = static_cast<std::size_t>(keep.last);
  source.keep.every_steps = static_cast<std::uint64_t>(keep.every_steps.value_or(0));
  saver_ = std::make_unique<Saver>(std::move(source), config_.checkpoint.async);
  update_ = std::make_unique<Update>(workspace_->ctx(), *store_, *optimizer_, config_.optimizer.grad_clip,
                                     exchange_.get(), most_sequences, spike_rule(config_));
}

// Looks at all of them, and moves damaged ones out of the way.
std::optional<fs::path> Trainer::checkpoint_to_resume() const {
  const std::string& resume = config_.checkpoint.resume;
  if (resume == "never") return std::nullopt;
  if (resume == "auto") {
    const auto newest = io::newest_good_checkpoint(dir_ / "checkpoints");
    return newest ? std::optional(newest->dir) : std::nullopt;
  }
  if (!fs::exists(fs::path(resume) / "manifest.json")) {
    fail(Exit::Checkpoint, "checkpoint.resume: {} has no complete checkpoint.", resume);
  }
  io::verify_checkpoint(resume);
  return resume;
}

void Trainer::start_or_resume() {
  const fs::path from =
      team_->tell("checkpoint", team_->leads() ? checkpoint_to_resume().value_or("").string() : "");
  if (!from.empty()) {
    resume_from(from);
  } else {
    const Rng init = Rng{static_cast<std::uint64_t>(config_.run.seed), 0}.child("init");
    if (config_.model.init.from) {
      load_parameters(*store_, io::open_archive(find_weights(*config_.model.init.from)));
      log::info("init", "weights from {}", *config_.model.init.from);
    } else {
      store_->initialize(init);
    }
  }
  take_up();
  // The next save may have another name, or there is none.
  if (team_->leads()) io::sweep_checkpoints(dir_ / "checkpoints");
  next_data_ = progress_.data_step();
  prefetcher_ = std::make_unique<data::Prefetcher>(*loader_, next_data_, share_.rank, share_.ranks);
}

void Trainer::take_up() {
  update_->set_window(progress_.window);
  if (exchange_) {  // of what a process has updated alone, or read alone
    exchange_->share_values();
    exchange_->await_values();
  }
  if (team_->leads()) metrics_ = std::make_unique<MetricsFile>(dir_ / "metrics.jsonl", progress_.step);
}

void Trainer::resume_from(const fs::path& checkpoint) {
  const fs::path stored_file = checkpoint / "config.yaml";
  const RunConfig stored = RunConfig::parse(io::read_text(stored_file), stored_file.string());
  const auto& allowed = config_.checkpoint.allow_change;
  for (const config::ConfigChange& change : config::diff(stored, config_)) {
    if (change.kind == config::ChangeClass::Harmless) continue;
    if (std::find(allowed.begin(), allowed.end(), change.kind) == allowed.end()) {
      fail(Exit::Config, "resume: {}. Add checkpoint.allow_change: [{}] to continue, or start a new run.",
           config::describe(change), config::to_string(change.kind));
    }
    log::info("resume", "{} (allowed)", config::describe(change));
  }
  progress_ = load_run(checkpoint, *store_, *optimizer_);
  const bool data_may_change =
      std::find(allowed.begin(), allowed.end(), config::ChangeClass::Data) != allowed.end();
  const bool same_data = progress_.data_fingerprint == loader_->fingerprint();
  if (!same_data && !data_may_change) {
    fail(Exit::Config,
         "resume: the training data or its order is not what {} was trained on. Restore it, or add "
         "checkpoint.allow_change: [data].",
         checkpoint.string());
  }
  if (carried_ && !same_data) log::info("resume", "the data changed: all sequences go on from empty state");
  if (carried_ && same_data) load_carried(checkpoint, *carried_);
  saved_step_ = progress_.step;
  has_saved_ = true;
  log::info("resume", "from {}, step={}, tokens={}", checkpoint.string(), progress_.step, progress_.tokens);
}

}  // namespace rt
