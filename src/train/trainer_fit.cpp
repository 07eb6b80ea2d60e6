#include <algorithm>
#include <cmath>
#include <fstream>

#include "rt/core/device_stats.h"
#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/core/parallel.h"
#include "rt/infer/sampler.h"
#include "rt/infer/session.h"
#include "rt/io/checkpoint.h"
#include "rt/train/machine.h"
#include "rt/train/signals.h"
#include "rt/train/trainer.h"

namespace rt {

namespace fs = std::filesystem;

namespace {

// Rank 0 alone does these.
constexpr std::chrono::minutes kTasksAllowed(120);

std::string device_name(Device device) {
  if (device.kind == DeviceKind::Cpu || !cuda::device_info) return to_string(device);
  const DeviceInfo info = cuda::device_info(device.index);
  return format("{} ({}, {} SMs, sm_{}{})", to_string(device), info.name, info.multiprocessors, info.major,
                info.minor);
}

}  // namespace

bool Trainer::due(const config::Quantity& every) const {
  const std::int64_t interval = every.steps(config_.batch.global_tokens, total_steps_.value_or(0));
  return interval > 0 && progress_.step % static_cast<std::uint64_t>(interval) == 0;
}

bool Trainer::out_of_time() const {
  if (!config_.budget.wall) return false;
  // Leaves as long as the last evaluation took, so that saving happens before the deadline, and what a device
  // may still need for the steps it was given.
  double margin = validation_seconds_;
  constexpr double kSteps = Update::kStepsAhead, kMicroSteps = BatchFeed::kAhead + 1;
  if (!settled_) margin += step_seconds_ * std::min(kSteps, kMicroSteps / double(plan_.accumulation));
  return progress_.seconds + elapsed() + margin >= static_cast<double>(config_.budget.wall->count());
}

Exit Trainer::fit() {
  const SignalGuard signals;
  if (team_->leads()) {
    yardstick_ = measure_yardstick(device_, compute_dtype(config_));
    log::info("machine", "device={}, threads={}, {}={} GFLOP/s, memory_available={}", device_name(device_),
              num_threads(), yardstick_.name, static_cast<long>(yardstick_.flops / 1e9),
              human_bytes(static_cast<double>(memory_for(device_))));
    yardstick_.flops *= team_->size();
    yardstick_.nominal *= team_->size();
  }
  started_ = last_report_ = std::chrono::steady_clock::now();
  const auto total = static_cast<std::uint64_t>(total_steps_.value_or(INT64_MAX));
  if (config_.eval.at_start && progress_.step == 0 && !validate()) return finish(false);
  while (progress_.step < total) {
    if (config_.budget.wall && team_->any(out_of_time())) return finish(false);
    if (!give()) return finish(false);
    const bool last = progress_.step == total, log_line = last || due(config_.log.every);
    if (log_line || device_.kind == DeviceKind::Cpu) {
      const StepResult& result = settle();
      if (team_->leads()) report(result, log_line);
    }
    compare_replicas_if_due();
    if (!last && due(config_.eval.every)) {
      if (!validate()) return finish(false);
      if (found_better()) begin_save();
    }
    if (!last && due(config_.eval.samples.every)) sample();
    if (!last) save_if_due();
  }
  return finish(true);
}

void Trainer::compare_replicas_if_due() {
  const auto every = static_cast<std::uint64_t>(config_.stability.param_hash_every);
  if (!exchange_ || every == 0 || progress_.step % every != 0) return;
  settle();
  exchange_->compare_replicas(progress_.step);
}

// Right after settling: between two reports lies the time of all steps between them.
void Trainer::report(const StepResult& result, bool log_line) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - last_report_).count();
  const double rate = static_cast<double>(progress_.tokens - reported_tokens_) / std::max(seconds, 1e-9);
  step_seconds_ = static_cast<double>(config_.batch.global_tokens) / rate;
  Progress p;
  p.step = static_cast<std::int64_t>(progress_.step);
  p.total = total_steps_.value_or(0);
  p.loss = result.loss;
  p.lr = result.lr;
  p.grad_norm = result.grad_norm;
  p.tokens_per_s = rate;
  const double flops = rate * plan_.flops_per_token;
  p.yardstick = yardstick_.name;
  p.flops_fraction = yardstick_.flops > 0 ? flops / yardstick_.flops : 0;
  p.mfu = yardstick_.nominal > 0 ? flops / yardstick_.nominal : 0;
  if (p.total > 0)
    p.eta_s = static_cast<double>(p.total - p.step) * double(config_.batch.global_tokens) / rate;
  console_->step(p, log_line);
  if (!log_line) return;
  const double wait = prefetcher_->wait_seconds();
  std::vector<MetricsFile::Field> fields{{"step", p.step},
                                         {"tokens", static_cast<std::int64_t>(progress_.tokens)},
                                         {"loss", result.loss},
                                         {"lr", result.lr},
                                         {"grad_norm", result.grad_norm},
                                         {"tokens_per_s", rate},
                                         {"flops_fraction", p.flops_fraction},
                                         {"data_wait_s", wait - reported_wait_},
                                         {"checkpoint_wait_s", save_wait_ - reported_save_wait_},
                                         {"rss_bytes", static_cast<std::int64_t>(rss_bytes())}};
  if (device_.kind == DeviceKind::Cuda && cuda::device_stats) {
    const DeviceStats stats = cuda::device_stats(device_.index);
    fields.insert(fields.end(), {{"mfu", p.mfu},
                                 {"device_memory_bytes", static_cast<std::int64_t>(stats.memory_used)},
                                 {"sm_mhz", std::int64_t{stats.sm_mhz}},
                                 {"watts", stats.watts},
                                 {"celsius", std::int64_t{stats.celsius}},
                                 {"throttled", stats.throttled}});
  }
  metrics_->write(fields);
  last_report_ = now;
  reported_tokens_ = progress_.tokens;
  reported_wait_ = wait;
  reported_save_wait_ = save_wait_;
}

void Trainer::pause(std::chrono::steady_clock::time_point begin) {
  const auto length = std::chrono::steady_clock::now() - begin;
  last_report_ += length;
  started_ += length;
}

bool Trainer::validate() {
  settle_all();
  team_->enter("eval");
  const auto begin = std::chrono::steady_clock::now();
  for (const Corpus::Valid& valid : corpus_->valid()) {
    const auto result =
        evaluate(workspace_->ctx(), *model_, *valid.source, corpus_->tokenizer(), config_.data.seq_len,
                 plan_.micro_sequences, config_.data.document_state == config::DocumentState::Reset,
                 valid.max_predictions, &SignalGuard::requested(),
                 [&](std::uint64_t, std::uint64_t) { team_->enter("eval"); },
                 {static_cast<std::uint64_t>(team_->rank()), static_cast<std::uint64_t>(team_->size()),
                  [&](std::span<double> numbers) { team_->sum(numbers); },
                  [&](bool stopped) { return team_->any(stopped); },
                  store_->sharding().shares(3) ? &before_unit_ : nullptr});
    if (!result) return false;
    last_eval_ = result;
    progress_.evals[format("valid/{}/loss", valid.name)] = result->loss;
    if (!team_->leads()) continue;
    log::info("eval", "step={}, set={}, loss={}, perplexity={}, bits_per_byte={}, tokens={}", progress_.step,
              valid.name, result->loss, result->perplexity, result->bits_per_byte, result->tokens);
    std::vector<std::int64_t> ends;
    std::vector<double> losses;
    for (const PositionLoss& p : result->by_position) {
      ends.push_back(static_cast<std::int64_t>(p.end));
      losses.push_back(p.loss);
    }
    metrics_->write({{"event", std::string("eval")},
                     {"step", static_cast<std::int64_t>(progress_.step)},
                     {"set", valid.name},
                     {"loss", result->loss},
                     {"perplexity", result->perplexity},
                     {"bits_per_byte", result->bits_per_byte},
                     {"tokens", static_cast<std::int64_t>(result->tokens)},
                     {"seconds", result->seconds},
                     {"position_end", std::move(ends)},
                     {"position_loss", std::move(losses)}});
  }
  team_->enter("eval tasks", kTasksAllowed);
  if (!store_->sharding().shares(3) && team_->any(team_->leads() && !run_tasks())) return false;
  validation_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  pause(begin);
  return true;
}

void Trainer::sample() {
  const config::SamplesSection& options = config_.eval.samples;
  if (options.prompts.empty() || store_->sharding().shares(3)) return;
  settle_all();
  team_->enter("sample", kTasksAllowed);
  if (!team_->leads()) return;
  const auto begin = std::chrono::steady_clock::now();
  Session session(*model_, impl_of(device_), compute_dtype(config_));
  std::ofstream file(dir_ / "samples.txt", std::ios::app);
  for (std::size_t i = 0; i < options.prompts.size(); ++i) {
    Sampler sampler({options.temperature, options.top_p, options.top_k,
                     static_cast<std::uint64_t>(config_.run.seed) + progress_.step * 1000 + i});
    const auto prompt = corpus_->tokenizer().encode(options.prompts[i]);
    if (prompt.empty()) continue;
    data::StreamDecoder decoder(corpus_->tokenizer());
    std::string text = options.prompts[i];
    session.reset();
    auto logits = session.feed(prompt);
    for (std::int64_t n = 0; n < options.max_tokens && SignalGuard::requested() == 0; ++n) {
      const std::int32_t id = sampler.sample(
          logits.first(static_cast<std::size_t>(corpus_->tokenizer().vocab_size())), session.position());
      text += decoder.push(id);
      logits = session.feed({&id, 1});
    }
    text += decoder.finish();
    const std::string block = format("--- sample, step {}, prompt {} ---\n{}\n", progress_.step, i, text);
    console_->say(block);
    file << block;
  }
  pause(begin);
}

Exit Trainer::finish(bool complete) {
  settle_all();
  finish_save();
  // The last checkpoint may be the best only with what it measured in it.
  const bool measured_first = complete && config_.checkpoint.keep.best;
  if (measured_first && !validate()) return finish(false);
  const int signal = SignalGuard::requested();
  bool unsaved = !has_saved_ || saved_step_ != progress_.step;
  if (!complete && team_->any(unsaved && too_late_to_save())) unsaved = false;
  const auto begin = std::chrono::steady_clock::now();
  const std::filesystem::path path =
      unsaved ? save() : dir_ / "checkpoints" / io::checkpoint_name(saved_step_);
  if (!complete) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    log::info("run", "{} at step {}: {} {} in {} s. Run the same command to continue. Exit {}.",
              signal          ? SignalGuard::name(signal)
              : out_of_time() ? "wall-clock budget spent"
                              : "another process was stopped",
              progress_.step, saved_step_ == progress_.step ? "saved" : "kept", path.string(),
              std::round(seconds * 10) / 10, static_cast<int>(Exit::Interrupted));
    return Exit::Interrupted;
  }
  const double trained = progress_.seconds;
  if (!measured_first && !validate()) return finish(false);
  sample();
  std::string text =
      format("done: {} steps, {} tokens in {} ({} tokens/s)\n", progress_.step,
             human_count(static_cast<double>(progress_.tokens)), human_seconds(trained),
             static_cast<long>(static_cast<double>(progress_.tokens) / std::max(trained, 1e-9)));
  if (last_eval_) {
    text +=
        format("validation loss {} nats/token, {} bits/byte\n", last_eval_->loss, last_eval_->bits_per_byte);
  }
  text += format("weights     {}\nlog         {}\nmetrics     {}\nconfig      {}\n",
                 (path / "model.safetensors").string(), (dir_ / "log.txt").string(),
                 (dir_ / "metrics.jsonl").string(), (dir_ / "config.yaml").string());
  if (!config_.eval.samples.prompts.empty())
    text += format("samples     {}\n", (dir_ / "samples.txt").string());
  for (const auto& made : corpus_->made()) text += format("data        {}\n", made.string());
  text += format("generate    rwkv generate {} --prompt \"...\"\n", path.string());
  if (team_->leads()) console_->say(text);
  return Exit::Ok;
}

}  // namespace rt
