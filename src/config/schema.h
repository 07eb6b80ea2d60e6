#pragma once
#include "config/names.h"
#include "config/schema_dist.h"
#include "config/section.h"
#include "rt/config/run_config.h"

// The schema: every key once, in the order it is dumped. The defaults are the initialisers of run_config.h.
namespace rt::config {

template <>
struct Codec<ModelInit> {  // "arch" or {from: path}
  static void read(const Node& in, const std::string& path, Places& places, ModelInit& init,
                   const KeyOptions&);
  static Node write(const ModelInit& init, ChangeClass change, const KeyOptions&);
};

template <>
struct Codec<SeqLen> {  // a count, or a list of {until, value} that ends in a {value}
  static void read(const Node& in, const std::string& path, Places& places, SeqLen& value, const KeyOptions&);
  static Node write(const SeqLen& value, ChangeClass change, const KeyOptions&);
};

inline void visit(Section& s, RunSection& v) {
  s.key("name", v.name, {.required = "my-run"});
  s.key("dir", v.dir);
  s.key("seed", v.seed, {.change = ChangeClass::Data});
  s.key("deterministic", v.deterministic, {.change = ChangeClass::Harmless});
  s.key("on_exists", v.on_exists);
}

inline void visit(Section& s, ModelSection& v) {
  s.directive("spec");
  s.key("arch", v.arch);
  s.key("layers", v.layers, {.required = "12"});
  s.key("width", v.width, {.required = "768"});
  s.key("head_size", v.head_size);
  s.key("ffn_width", v.ffn_width, {.absent = "auto"});
  s.key("vocab", v.vocab, {.absent = "auto"});
  s.key("decay_rank", v.decay_rank, {.absent = "auto"});
  s.key("a_rank", v.a_rank, {.absent = "auto"});
  s.key("v_rank", v.v_rank, {.absent = "auto"});
  s.key("gate_rank", v.gate_rank, {.absent = "auto"});
  s.key("init", v.init);
}

inline void visit(Section& s, PrecisionSection& v) {
  s.key("compute", v.compute, {.absent = "auto"});
  s.key("grad_reduce", v.grad_reduce);
}

inline void visit(Section& s, TokenizerSection& v) {
  s.key("type", v.type);
  s.key("file", v.file);
}

inline void visit(Section& s, Stories& v) {
  s.key("tokens", v.tokens, {.required = "4M"});
  s.key("seed", v.seed);
}

inline void visit(Section& s, TrainSource& v) {
  s.key("path", v.path, {.terse = true});
  s.key("stories", v.stories, {.terse = true});
  s.key("weight", v.weight);
  s.key("epochs_max", v.epochs_max, {.terse = true});
}

inline void visit(Section& s, ValidSource& v) {
  s.key("name", v.name, {.required = "main"});
  s.key("path", v.path, {.terse = true});
  s.key("split", v.split, {.terse = true});
  s.key("stories", v.stories, {.terse = true});
  s.key("tokens", v.tokens, {.terse = true});
}

inline void visit(Section& s, SeqLenPart& v) {
  s.key("until", v.until, {.terse = true});
  s.key("value", v.value, {.required = "1024"});
}

inline void visit(Section& s, DataSection& v) {
  s.key("train", v.train, {.required = "[{path: data/train}]"});
  s.key("valid", v.valid, {.change = ChangeClass::Harmless});
  s.key("seq_len", v.seq_len, {.required = "1024"});
  s.key("packing", v.packing);
  s.key("document_state", v.document_state);
  s.key("order", v.order);
  s.key("magic_prime", v.magic_prime, {.absent = "auto"});
  s.key("loss_mask", v.loss_mask);
  s.key("verify", v.verify, {.change = ChangeClass::Harmless});
}

inline void visit(Section& s, BatchSection& v) {
  s.key("global_tokens", v.global_tokens, {.required = "65536"});
  s.key("micro_sequences", v.micro_sequences, {.change = ChangeClass::Harmless, .absent = "auto"});
}

inline void visit(Section& s, ParamGroup& v) {
  s.key("match", v.match, {.required = "\"*.att.w0\""});
  s.key("lr_scale", v.lr_scale);
  s.key("weight_decay", v.weight_decay, {.terse = true});
}

inline void visit(Section& s, OptimizerSection& v) {
  s.key("type", v.type, {.change = ChangeClass::Model});
  s.key("lr", v.lr, {.required = "6.0e-4"});
  s.key("betas", v.betas);
  s.key("eps", v.eps);
  s.key("weight_decay", v.weight_decay);
  s.key("groups", v.groups);
  s.key("grad_clip", v.grad_clip);
  s.key("moments", v.moments);
}

inline void visit(Section& s, ScheduleSection& v) {
  s.key("type", v.type);
  s.key("warmup", v.warmup);
  s.key("decay", v.decay);
  s.key("decay_shape", v.decay_shape);
  s.key("final", v.final);
}

inline void visit(Section& s, BudgetSection& v) {
  s.key("tokens", v.tokens);
  s.key("steps", v.steps);
  s.key("wall", v.wall, {.change = ChangeClass::Harmless});
}

inline void visit(Section& s, SpikeSection& v) {
  s.key("window", v.window);
  s.key("sigma", v.sigma);
  s.key("action", v.action);
}

inline void visit(Section& s, RollbackSection& v) {
  s.key("skip_batches", v.skip_batches);
  s.key("max", v.max);
}

inline void visit(Section& s, StabilitySection& v) {
  s.key("nonfinite", v.nonfinite);
  s.key("spike", v.spike);
  s.key("rollback", v.rollback);
  s.key("param_hash_every", v.param_hash_every);
}

inline void visit(Section& s, ParallelSection& v) {
  s.key("recompute", v.recompute);
  s.key("zero", v.zero);
  s.key("context", v.context);
}

inline void visit(Section& s, ObjectiveSection& v) {
  s.key("type", v.type);
  s.key("l2wrap", v.l2wrap);
}

inline void visit(Section& s, CheckpointEvery& v) {
  s.key("steps", v.steps);
  s.key("time", v.time);
}

inline void visit(Section& s, KeepBest& v) {
  s.key("metric", v.metric, {.required = "valid/main/loss"});
  s.key("n", v.n);
}

inline void visit(Section& s, CheckpointKeep& v) {
  s.key("last", v.last);
  s.key("every_steps", v.every_steps);
  s.key("best", v.best, {.terse = true});
}

inline void visit(Section& s, CheckpointSection& v) {
  s.key("every", v.every);
  s.key("async", v.async);
  s.key("keep", v.keep);
  s.key("resume", v.resume);
  s.key("grace", v.grace);
  s.key("trigger_file", v.trigger_file);
  s.key("disk_reserve", v.disk_reserve);
  s.key("allow_change", v.allow_change);
}

inline void visit(Section& s, SamplesSection& v) {
  s.key("every", v.every);
  s.key("prompts", v.prompts);
  s.key("max_tokens", v.max_tokens);
  s.key("temperature", v.temperature);
  s.key("top_p", v.top_p);
  s.key("top_k", v.top_k);
}

inline void visit(Section& s, TaskSection& v) {
  s.key("task", v.task, {.required = "lambada"});
  s.key("path", v.path, {.required = "data/lambada_test.jsonl"});
  s.key("limit", v.limit);
}

inline void visit(Section& s, EvalSection& v) {
  s.key("every", v.every);
  s.key("at_start", v.at_start);
  s.key("tokens", v.tokens);
  s.key("tasks", v.tasks);
  s.key("samples", v.samples);
}

inline void visit(Section& s, LogSection& v) {
  s.key("every", v.every);
  s.key("console", v.console);
}

inline void visit(Section& s, RunConfig& v) {
  s.directive("include");
  s.key("version", v.version);
  s.key("run", v.run);
  s.key("device", v.device, {.absent = "auto"});
  s.key("threads", v.threads, {.absent = "auto"});
  s.key("model", v.model, {.change = ChangeClass::Model});
  s.key("precision", v.precision, {.change = ChangeClass::Model});
  s.key("tokenizer", v.tokenizer, {.change = ChangeClass::Model});
  s.key("data", v.data, {.change = ChangeClass::Data});
  s.key("batch", v.batch, {.change = ChangeClass::Batch});
  s.key("optimizer", v.optimizer, {.change = ChangeClass::Lr});
  s.key("schedule", v.schedule, {.change = ChangeClass::Schedule});
  s.key("budget", v.budget, {.change = ChangeClass::Budget});
  s.key("stability", v.stability);
  s.key("parallel", v.parallel);
  s.key("dist", v.dist);
  s.key("objective", v.objective, {.change = ChangeClass::Model});
  s.key("checkpoint", v.checkpoint);
  s.key("eval", v.eval);
  s.key("log", v.log);
}

// schema.cpp
RunConfig read_config(const Node& root, Places& places);  // throws Exit::Config; not yet validated
Node write_config(const RunConfig& config);
// validate.cpp: fills what depends on other keys ({name}, the wsd defaults), then throws Exit::Config for
// values that cannot be.
void resolve_and_validate(RunConfig& config, const Places& places);
void validate_data(const RunConfig& config, const Places& places);  // validate_data.cpp: data and batch
// sources.cpp: the tree after includes, overrides and model.spec.
Node load_tree(const std::string& file, std::span<const std::string> overrides);
Node load_tree(std::string_view yaml, const std::string& name, std::span<const std::string> overrides);

}  // namespace rt::config
