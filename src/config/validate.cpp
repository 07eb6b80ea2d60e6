#include <algorithm>
#include <set>

#include "config/schema.h"

namespace rt::config {
namespace {

class Validator {
 public:
  Validator(RunConfig& config, const Places& places) : c_(config), places_(places) {}

  void run() {
    require(c_.version == 1, "version", "{} is not known here. This build reads version: 1", c_.version);
    names();
    model();
    data();
    batch();
    optimizer();
    budget();
    schedule();
    outputs();
  }

 private:
  template <class... Args>
  void require(bool ok, const std::string& path, std::string_view pattern, const Args&... args) const {
    if (!ok) fail_at(places_.find(path), path, pattern, args...);
  }

  void at_least(std::int64_t value, std::int64_t low, const std::string& path) const {
    require(value >= low, path, "{} is too small. Use {} or more", value, low);
  }
  void at_least(const std::optional<std::int64_t>& value, std::int64_t low, const std::string& path) const {
    if (value) at_least(*value, low, path);
  }
  void positive(double value, const std::string& path) const {
    require(value > 0, path, "{} is not positive. Use a number above 0", format_real(value));
  }
  void not_negative(double value, const std::string& path) const {
    require(value >= 0, path, "{} is negative. Use 0 or more", format_real(value));
  }
  void positive(const Quantity& value, const std::string& path) const {
    require(value.value > 0, path, "{} is not positive. Use e.g. 100steps", format_quantity(value));
  }
  void in_steps(const Quantity& value, const std::string& path) const {
    require(value.unit == Quantity::Unit::Steps, path, "{} is not a number of steps. Use e.g. 100steps",
            format_quantity(value));
    positive(value, path);
  }

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
    const bool needs_no_file = c_.tokenizer.type == TokenizerType::Bytes;
    require(!needs_no_file || !c_.tokenizer.file, "tokenizer.file",
            "type bytes has no file. Remove this key");
  }

  static std::string nearest_multiples(std::int64_t value, std::int64_t unit) {
    const std::int64_t below = value / unit * unit;
    if (below == 0) return rt::format("Nearest: {}", unit);
    return rt::format("Nearest: {}, {}", below, below + unit);
  }

  void one_of(int given, const std::string& path, std::string_view choices) const {
    require(given == 1, path, "has {} of {}. Give exactly one", given, choices);
  }
  void stories(const std::optional<Stories>& value, const std::string& path) const {
    if (value) at_least(value->tokens, 1, path + ".stories.tokens");
  }

  void data() {
    const DataSection& d = c_.data;
    require(!d.train.empty(), "data.train", "is empty. Give at least one source, e.g. - {path: data/train}");
    for (std::size_t i = 0; i < d.train.size(); ++i) {
      const std::string path = rt::format("data.train.{}", i);
      const TrainSource& source = d.train[i];
      one_of(source.path.has_value() + source.stories.has_value(), path, "path and stories");
      require(source.path != "", path + ".path", "is empty. Give a file or directory");
      positive(source.weight, path + ".weight");
      stories(source.stories, path);
    }
    std::set<std::string> seen;
    for (std::size_t i = 0; i < d.valid.size(); ++i) {
      const std::string path = rt::format("data.valid.{}", i);
      const ValidSource& source = d.valid[i];
      require(!source.name.empty(), path + ".name", "is empty. Give a word; metrics are logged under it");
      require(seen.insert(source.name).second, path + ".name", "\"{}\" is taken. Give each set its own",
              source.name);
      one_of(source.path.has_value() + source.split.has_value() + source.stories.has_value(), path,
             "path, split and stories");
      require(source.path != "", path + ".path", "is empty. Give a file or directory");
      stories(source.stories, path);
      at_least(source.tokens, 1, path + ".tokens");
      if (source.split) split(*source.split, path + ".split");
    }
    at_least(d.seq_len, 1, "data.seq_len");
  }

  void split(double fraction, const std::string& path) const {
    require(fraction > 0 && fraction < 1, path, "{} is not between 0 and 1. Use e.g. 0.1",
            format_real(fraction));
    require(c_.data.train.size() == 1, path,
            "cuts the one training source, but data.train has {}. Use path instead", c_.data.train.size());
    const auto is_split = [](const ValidSource& s) { return s.split.has_value(); };
    const auto splits = std::count_if(c_.data.valid.begin(), c_.data.valid.end(), is_split);
    require(splits == 1, path, "is given {} times, the training source has one tail. Keep one", splits);
  }

  void batch() {
    const std::int64_t tokens = c_.batch.global_tokens, length = c_.data.seq_len;
    at_least(tokens, 1, "batch.global_tokens");
    if (tokens % length != 0) {
      const std::int64_t k = tokens / length;
      const std::string below = k > 0 ? rt::format("{} (k={}), ", k * length, k) : "";
      require(false, "batch.global_tokens", "{} is not seq_len({}) x k. Nearest: {}{} (k={})", tokens, length,
              below, (k + 1) * length, k + 1);
    }
    if (!c_.batch.micro_sequences) return;
    const std::int64_t micro = *c_.batch.micro_sequences, sequences = tokens / length;
    at_least(micro, 1, "batch.micro_sequences");
    std::int64_t below = std::min(micro, sequences), above = micro;
    while (sequences % below != 0) --below;
    while (above < sequences && sequences % above != 0) ++above;
    require(sequences % micro == 0, "batch.micro_sequences",
            "{} does not divide the {} sequences of a step. Nearest: {}", micro, sequences,
            above > sequences ? std::to_string(below) : rt::format("{}, {}", below, above));
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
  const Places& places_;
};

}  // namespace

void resolve_and_validate(RunConfig& config, const Places& places) { Validator(config, places).run(); }

}  // namespace rt::config
