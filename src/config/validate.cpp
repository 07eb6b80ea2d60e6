#include <algorithm>

#include "config/checks.h"
#include "config/schema.h"

namespace rt::config {
namespace {

class Validator : private Checks {
 public:
  Validator(RunConfig& config, const Places& places) : Checks(places), c_(config) {}

  void run() {
    require(c_.version == 1, "version", "{} is not known here. This build reads version: 1", c_.version);
    names();
    dist();
    model();
    validate_data(c_, places_);
    optimizer();
    budget();
    schedule();
    outputs();
  }

 private:
  void names() {
    const std::string& name = c_.run.name;
    const bool plain = std::all_of(name.begin(), name.end(), [](char ch) {
      return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '.' ||
             ch == '_' || ch == '-';
    });
    require(plain && !name.empty() && name[0] != '.' && name[0] != '-', "run.name",
            "\"{}\" cannot name files. Use letters, digits and \"._-\", a letter or digit first", name);
    std::string& dir = c_.run.dir;
    constexpr std::string_view kHole = "{name}";
    for (auto at = dir.find(kHole); at != std::string::npos; at = dir.find(kHole, at + name.size())) {
      dir.replace(at, kHole.size(), name);
    }
    require(!dir.empty(), "run.dir", "is empty. Use e.g. \"runs/{name}\"");
    require(dir.find_first_of("{}") == std::string::npos, "run.dir",
            "\"{}\" has braces that are not {name}. Use {name} or none", dir);
    at_least(c_.threads, 1, "threads");
    require(c_.parallel.zero >= 0 && c_.parallel.zero <= 3, "parallel.zero",
            "{} is not a stage of ZeRO. Use 0 (replicas), 1 (optimizer shared out), 2 (gradients too) or 3 "
            "(weights too)",
            c_.parallel.zero);
    stability();
    context();
  }

  void best(const KeepBest& best) {
    at_least(best.n, 1, "checkpoint.keep.best.n");
    std::string known;
    bool found = false;
    for (const ValidSource& set : c_.data.valid) {
      const std::string metric = "valid/" + set.name + "/loss";
      known += (known.empty() ? "" : ", ") + metric;
      found = found || metric == best.metric;
    }
    require(found, "checkpoint.keep.best.metric", "\"{}\" is not measured. Known: {}", best.metric,
            known.empty() ? "none, data.valid is empty" : known);
  }

  void stability() {
    const StabilitySection& s = c_.stability;
    at_least(s.param_hash_every, 0, "stability.param_hash_every");
    require(s.spike.window >= 2 && s.spike.window <= 1024, "stability.spike.window",
            "{} steps are too few or too many to compare with. Use 2 to 1024", s.spike.window);
    require(s.spike.sigma > 0, "stability.spike.sigma", "must be above 0. Use e.g. 6");
    at_least(s.rollback.skip_batches, 1, "stability.rollback.skip_batches");
    at_least(s.rollback.max, 1, "stability.rollback.max");
  }

  void context() {
    at_least(c_.parallel.context, 1, "parallel.context");
    if (c_.parallel.context == 1) return;
    for (const SeqLenPart& part : c_.data.seq_len.parts) {
      require(part.value % c_.parallel.context == 0, "parallel.context",
              "{} does not divide data.seq_len: {}. Each process has an equal part of the time",
              c_.parallel.context, part.value);
    }
    require(
        c_.data.document_state != DocumentState::Carry, "parallel.context",
        "and data.document_state: carry cannot both be: states would begin in other processes. Use reset or "
        "none, or context: 1");
  }

  void dist() {
    const DistSection& d = c_.dist;
    at_least(d.world, 1, "dist.world");
    at_least(d.rank, 0, "dist.rank");
    at_least(d.local_rank, 0, "dist.local_rank");
    require(!d.local_rank || d.rank, "dist.local_rank",
            "says nothing without dist.rank. Set both, or leave both to the launcher");
    at_least(d.restarts, 0, "dist.restarts");
    const auto at_least_seconds = [&](std::chrono::seconds value, std::chrono::seconds low,
                                      const char* path) {
      require(value >= low, path, "{} is too short. Use {} or more", format_duration(value),
              format_duration(low));
    };
    at_least_seconds(d.heartbeat, std::chrono::seconds(1), "dist.heartbeat");
    // Who is silent is told from who is late by the heartbeats that come within a timeout.
    at_least_seconds(d.timeouts.init, 3 * d.heartbeat, "dist.timeouts.init");
    at_least_seconds(d.timeouts.first_step, 3 * d.heartbeat, "dist.timeouts.first_step");
    if (d.timeouts.step) at_least_seconds(*d.timeouts.step, 3 * d.heartbeat, "dist.timeouts.step");
  }

  void model() {
    const ModelSection& m = c_.model;
    at_least(m.layers, 2, "model.layers");
    require(m.head_size >= 16 && m.head_size <= 256 && m.head_size % 16 == 0, "model.head_size",
            "{} is not one of 16, 32, 48, 64, ... 256. Use 64 unless the width asks for another",
            m.head_size);
    at_least(m.width, m.head_size, "model.width");
    require(m.width % m.head_size == 0, "model.width", "{} is not a multiple of head_size={}. {}", m.width,
            m.head_size, nearest_multiples(m.width, m.head_size));
    at_least(m.ffn_width, 1, "model.ffn_width");
    at_least(m.vocab, 2, "model.vocab");
    at_least(m.decay_rank, 1, "model.decay_rank");
    at_least(m.a_rank, 1, "model.a_rank");
    at_least(m.v_rank, 1, "model.v_rank");
    at_least(m.gate_rank, 1, "model.gate_rank");
    require(m.init.from != "", "model.init.from", "is empty. Give the path of a checkpoint, or init: arch");
    const TokenizerType type = c_.tokenizer.type;
    require(type != TokenizerType::Bytes || !c_.tokenizer.file, "tokenizer.file",
            "type bytes has no file. Remove this key");
    require(type <= TokenizerType::Chars || c_.tokenizer.file.value_or("") != "", "tokenizer.file",
            "type {} needs its vocabulary. Give the file", to_string(type));
  }

  static std::string nearest_multiples(std::int64_t value, std::int64_t unit) {
    const std::int64_t below = value / unit * unit;
    if (below == 0) return rt::format("Nearest: {}", unit);
    return rt::format("Nearest: {}, {}", below, below + unit);
  }

  void optimizer() {
    const OptimizerSection& o = c_.optimizer;
    positive(o.lr, "optimizer.lr");
    for (std::size_t i = 0; i < o.betas.size(); ++i) {
      require(o.betas[i] >= 0 && o.betas[i] < 1, rt::format("optimizer.betas.{}", i),
              "{} is not in [0, 1). Use e.g. 0.9", format_real(o.betas[i]));
    }
    positive(o.eps, "optimizer.eps");
    not_negative(o.weight_decay, "optimizer.weight_decay");
    not_negative(o.grad_clip, "optimizer.grad_clip");
    for (std::size_t i = 0; i < o.groups.size(); ++i) {
      const std::string path = rt::format("optimizer.groups.{}", i);
      require(!o.groups[i].match.empty(), path + ".match", "is empty. Give a pattern such as \"*.att.w0\"");
      not_negative(o.groups[i].lr_scale, path + ".lr_scale");
      if (o.groups[i].weight_decay) not_negative(*o.groups[i].weight_decay, path + ".weight_decay");
    }
    not_negative(c_.objective.l2wrap, "objective.l2wrap");
  }

  void budget() {
    const BudgetSection& b = c_.budget;
    require(b.tokens || b.steps || b.wall, "budget",
            "has no tokens, steps or wall. Give at least one, e.g. tokens: 100M");
    at_least(b.steps, 1, "budget.steps");
    if (b.tokens) {
      require(*b.tokens >= c_.batch.global_tokens, "budget.tokens",
              "{} is less than one step of {} tokens. Raise it", *b.tokens, c_.batch.global_tokens);
    }
    if (b.wall) require(b.wall->count() > 0, "budget.wall", "is no time. Use e.g. 23h30m");
  }

  void schedule() {
    ScheduleSection& s = c_.schedule;
    require(s.final >= 0 && s.final <= 1, "schedule.final",
            "{} is not in [0, 1]; it is a fraction of lr. Use e.g. 0.1", format_real(s.final));
    const bool wsd = s.type == ScheduleType::Wsd;
    require(wsd || !s.decay, "schedule.decay", "is only for type: wsd. Remove it or change the type");
    require(wsd || !s.decay_shape, "schedule.decay_shape",
            "is only for type: wsd. Remove it or change the type");
    if (wsd && !s.decay) s.decay = percent(20);
    if (wsd && !s.decay_shape) s.decay_shape = DecayShape::OneMinusSqrt;
    const std::optional<std::int64_t> total = c_.total_steps();
    require(total || s.type == ScheduleType::Constant, "schedule.type",
            "{} needs to know how long the run is. Give budget.tokens or budget.steps, or use constant",
            Scalar<ScheduleType>::format(s.type));
    const std::int64_t warmup = part_of_run(s.warmup, total, "schedule.warmup");
    if (!wsd) return;
    positive(*s.decay, "schedule.decay");
    const std::int64_t decay = part_of_run(*s.decay, total, "schedule.decay");
    require(warmup + decay <= *total, "schedule.decay",
            "warmup ({} steps) and decay ({} steps) exceed the run ({} steps). "
            "Shorten one of them",
            warmup, decay, *total);
  }

  // In steps; throws unless it lies within the run.
  std::int64_t part_of_run(const Quantity& value, std::optional<std::int64_t> total,
                           const std::string& path) const {
    not_negative(value.value, path);
    if (value.unit == Quantity::Unit::Percent) {
      require(total.has_value(), path, "{} of an unknown number of steps. Use e.g. 200steps",
              format_quantity(value));
      require(value.value <= 100, path, "{} is more than the whole run. Use 100% or less",
              format_quantity(value));
    }
    if (value.unit == Quantity::Unit::Tokens && value.value > 0) {
      require(value.value >= static_cast<double>(c_.batch.global_tokens), path,
              "{} is less than one step of {} tokens. If steps are meant, write {}steps",
              format_quantity(value), c_.batch.global_tokens, static_cast<std::int64_t>(value.value));
    }
    const std::int64_t steps = value.steps(c_.batch.global_tokens, total.value_or(0));
    require(!total || steps <= *total, path,
            "{} is longer than the run ({} steps by budget). Shorten it or raise the budget",
            format_quantity(value), total.value_or(0));
    return steps;
  }

  void outputs() {
    const CheckpointSection& k = c_.checkpoint;
    at_least(k.every.steps, 1, "checkpoint.every.steps");
    if (k.every.time) require(k.every.time->count() > 0, "checkpoint.every.time", "is no time. Use e.g. 30m");
    at_least(k.keep.last, 1, "checkpoint.keep.last");
    at_least(k.keep.every_steps, 1, "checkpoint.keep.every_steps");
    require(k.trigger_file.find('/') == std::string::npos, "checkpoint.trigger_file",
            "\"{}\" is not the name of a file in run.dir. Leave the directory out", k.trigger_file);
    if (k.keep.best) best(*k.keep.best);
    require(!k.resume.empty(), "checkpoint.resume", "is empty. Use auto, never or the path of a checkpoint");
    in_steps(c_.eval.every, "eval.every");
    at_least(c_.eval.tokens, 1, "eval.tokens");
    for (std::size_t i = 0; i < c_.eval.tasks.size(); ++i) {
      const std::string path = rt::format("eval.tasks.{}", i);
      require(!c_.eval.tasks[i].path.empty(), path + ".path", "is empty. Give the task's file");
      at_least(c_.eval.tasks[i].limit, 0, path + ".limit");
    }
    in_steps(c_.log.every, "log.every");
    const SamplesSection& s = c_.eval.samples;
    in_steps(s.every, "eval.samples.every");
    at_least(s.max_tokens, 1, "eval.samples.max_tokens");
    not_negative(s.temperature, "eval.samples.temperature");
    require(s.top_p > 0 && s.top_p <= 1, "eval.samples.top_p",
            "{} is not in (0, 1]. Use 1.0 to keep every token", format_real(s.top_p));
    for (std::size_t i = 0; i < s.prompts.size(); ++i) {
      require(!s.prompts[i].empty(), rt::format("eval.samples.prompts.{}", i), "is empty. Give some text");
    }
  }

  RunConfig& c_;
};

}  // namespace

void resolve_and_validate(RunConfig& config, const Places& places) { Validator(config, places).run(); }

}  // namespace rt::config
