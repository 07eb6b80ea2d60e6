#include "apps/eval.h"

#include <cstdio>

#include "apps/model_options.h"
#include "apps/temp_dir.h"
#include "apps/verb.h"
#include "rt/data/open_source.h"
#include "rt/data/prepare.h"
#include "rt/data/token_set.h"
#include "rt/train/evaluation.h"
#include "rt/train/planner.h"
#include "rt/train/signals.h"

namespace rt {
namespace {

namespace fs = std::filesystem;

struct EvalOptions {
  ModelOptions model;
  std::optional<std::string> data, batch, task, out, prefix;
  std::int64_t seq_len = 1024, tokens = 0, rows = 0, limit = 0;
  bool carry = false;
};

void need_tokenizer(const LoadedModel& loaded) {
  if (loaded.tokenizer) return;
  fail(Exit::Config, "{}: no tokenizer.json beside it. Add --tokenizer bytes or --tokenizer FILE.",
       loaded.file.string());
}

std::int32_t token_id(const std::string& text, std::int64_t vocab) {
  const auto id = parse_count(text);
  if (!id || *id >= vocab) fail(Exit::Config, "--prefix: {} is not a token of the {}.", text, vocab);
  return static_cast<std::int32_t>(*id);
}

// Token data as it is, anything else tokenized into `scratch`.
std::unique_ptr<data::StoredTokens> open_data(const fs::path& path, LoadedModel& loaded,
                                              const TempDir& scratch) {
  auto source = data::open_source(path, loaded.tokenizer.get());
  if (!source && !fs::exists(path)) fail(Exit::Data, "{}: no such file or directory.", path.string());
  if (!loaded.tokenizer && source) {
    loaded.tokenizer = data::tokenizer_from_json(source->tokenizer().to_json(), path.string());
  }
  need_tokenizer(loaded);
  if (!source) {
    data::prepare({path}, scratch.path() / "tokens", *loaded.tokenizer, {});
    return std::make_unique<data::TokenSet>(scratch.path() / "tokens");
  }
  if (source->tokenizer_fingerprint() != loaded.tokenizer->fingerprint()) {
    fail(Exit::Data,
         "{} was tokenized with another {} tokenizer than {}. Re-run data prepare with the model's.",
         path.string(), source->tokenizer().type(), loaded.file.string());
  }
  return source;
}

int eval(const EvalOptions& o) {
  if (o.seq_len < 1) fail(Exit::Config, "--seq-len: must be at least 1.");
  if ((o.task || o.out || o.prefix || o.limit > 0) && !(o.task && o.data)) {
    fail(Exit::Config, "rwkv eval: --limit, --prefix and --out belong to --task, which needs --data.");
  }
  if (o.data.has_value() == o.batch.has_value()) {
    fail(Exit::Config, "rwkv eval: give either --data or --batch.");
  }
  const auto loaded = o.model.load();
  if (o.batch) {
    eval_kept_batch(*loaded, *o.batch);
    return 0;
  }
  if (o.task) {
    need_tokenizer(*loaded);
    EvalTask task{*o.task, *o.data, o.limit, o.seq_len, {}};
    if (o.prefix) task.prefix = token_id(*o.prefix, loaded->model->spec().vocab);
    eval_task(*loaded, o.model.impl(), o.model.compute(), o.rows, task, o.out);
    return 0;
  }
  const TempDir scratch;
  const auto set = open_data(*o.data, *loaded, scratch);
  if (set->vocab_size() > loaded->model->spec().vocab) {
    fail(Exit::Data, "{}: its tokenizer knows {} tokens, the model only {}.", set->name(), set->vocab_size(),
         loaded->model->spec().vocab);
  }
  const std::int64_t rows = o.rows > 0 ? o.rows : std::max<std::int64_t>(1, kMicroTokens / o.seq_len);
  const auto workspace = plan_evaluation(loaded->store.device(), *loaded->model, rows, o.seq_len, !o.carry);
  const SignalGuard signals;
  const auto result = evaluate(workspace->ctx(), *loaded->model, *set, *loaded->tokenizer, o.seq_len, rows,
                               !o.carry, static_cast<std::uint64_t>(o.tokens), &SignalGuard::requested());
  if (!result) fail(Exit::Interrupted, "interrupted");
  std::printf("loss           %.10g\n", result->loss);
  std::printf("perplexity     %.8g\n", result->perplexity);
  std::printf("bits_per_byte  %.8g\n", result->bits_per_byte);
  std::printf("tokens         %llu\n", static_cast<unsigned long long>(result->tokens));
  for (const PositionLoss& p : result->by_position) {
    const std::string label = format("after {}..{}", p.begin + 1, p.end);
    std::printf("%-14s %.10g  (%llu tokens)\n", label.c_str(), p.loss,
                static_cast<unsigned long long>(p.tokens));
  }
  std::printf("tokens_per_s   %.1f\n", static_cast<double>(result->tokens) / std::max(result->seconds, 1e-9));
  return 0;
}

}  // namespace

int eval_main(int argc, char** argv) {
  EvalOptions o;
  Options options("rwkv eval", "Loss (nats per token), perplexity and bits per byte of a model on a text.");
  o.model.declare(options);
  options.text("--data,-d", o.data,
               "Token data, or text or JSON lines, tokenized for this run only; or a task's file");
  options.text("--batch", o.batch, "A batch that training kept: bad/step-N.safetensors");
  options.text("--task", o.task,
               "lambada, multiple_choice (HellaSwag, PIQA, ARC) or wikitext: the figures of this benchmark");
  options.count("--limit", o.limit, "Tasks: the first so many examples; 0: all");
  options.text("--prefix", o.prefix, "Tasks: a token id to put before every text");
  options.text("--out", o.out, "Tasks: write the figures there as JSON");
  options.count("--seq-len", o.seq_len, "Each window of so many tokens starts from empty state");
  options.count("--rows", o.rows, "Windows, or a task's texts, at a time; 0: about 2048 tokens");
  options.count("--tokens", o.tokens, "At most so many predictions; 0: all");
  options.flag("--carry", o.carry, "Keep the state at document starts inside a window");
  if (!options.parse(argc, argv)) return 0;
  return eval(o);
}

}  // namespace rt
