#include "rt/train/evaluation.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <numbers>
#include <span>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/ops/linear_cross_entropy.h"
#include "rt/train/micro_step.h"

namespace rt {
namespace {

// What a batch adds, as numbers that processes can add up: its loss, predictions and their bytes, then losses
// and predictions by how many tokens the model had read: bucket k is for (2^(k-1), 2^k].
constexpr std::size_t kBuckets = 64, kNumbers = 3 + 2 * kBuckets;

void measure(const data::Batch& batch, const std::vector<double>& losses, const data::Tokenizer& tokenizer,
             std::span<double> found) {
  std::uint64_t read = 0;
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    const bool starts =
        i % static_cast<std::size_t>(batch.T) == 0 || (!batch.reset.empty() && batch.reset[i]);
    read = starts ? 1 : read + 1;
    if (batch.targets[i] == data::kIgnoreTarget) continue;
    const auto bucket = static_cast<std::size_t>(std::bit_width(read - 1));
    found[0] += losses[i];
    found[1] += 1;
    found[2] += static_cast<double>(tokenizer.decode_bytes(batch.targets[i]).size());
    found[3 + bucket] += losses[i];
    found[3 + kBuckets + bucket] += 1;
  }
}

EvalResult result_of(std::span<const double> sums) {
  EvalResult result;
  result.tokens = static_cast<std::uint64_t>(sums[1]);
  result.loss = sums[0] / sums[1];
  result.perplexity = std::exp(result.loss);
  result.bits_per_byte = sums[0] / (std::numbers::ln2 * sums[2]);
  for (std::size_t k = 0; k < kBuckets; ++k) {
    const double tokens = sums[3 + kBuckets + k];
    if (tokens == 0) continue;
    result.by_position.push_back({k == 0 ? 0 : std::uint64_t{1} << (k - 1), std::uint64_t{1} << k,
                                  sums[3 + k] / tokens, static_cast<std::uint64_t>(tokens)});
  }
  return result;
}

}  // namespace

std::vector<double> next_token_losses(ExecContext& ctx, const LanguageModel& model, const BatchView& batch,
                                      const std::function<void(std::size_t)>* before_unit) {
  const ArenaScope saved(ctx.saved);
  const BatchView here = on_device(ctx, batch);
  Tape tape(ctx, Record::No);
  const Var tokens = tape.input(here.tokens), targets = tape.input(here.targets);
  const Var reset = here.reset ? tape.input(here.reset) : Var{};
  const LanguageModel::Out out =
      model.forward(tape, {.tokens = tokens, .reset = reset, .state = {}, .before_unit = before_unit});
  return fetch_values(ctx, tape.value(token_losses(tape, out.hidden, tape.param(model.head()), targets)));
}

std::unique_ptr<Workspace> plan_evaluation(Device device, const LanguageModel& model, std::int64_t rows,
                                           std::int64_t seq_len, bool resets) {
  const Shape shape{rows, seq_len};
  BatchView batch{untouchable(shape, DType::I32), untouchable(shape, DType::I32), {}};
  if (resets) batch.reset = untouchable(shape, DType::U8);
  Workspace measure(device, impl_of(device));
  next_token_losses(measure.ctx(), model, batch);
  return std::make_unique<Workspace>(device, impl_of(device), measure.saved().high_water(),
                                     measure.scratch().high_water(), 0);
}

std::optional<EvalResult> evaluate(ExecContext& ctx, const LanguageModel& model,
                                   const data::TokenSource& source, const data::Tokenizer& tokenizer,
                                   std::int64_t seq_len, std::int64_t rows, bool document_resets,
                                   std::uint64_t max_predictions, const std::atomic<int>* stop,
                                   const std::function<void(std::uint64_t, std::uint64_t)>& progress,
                                   const EvalShare& share) {
  const auto begin = std::chrono::steady_clock::now();
  const data::EvalLoader loader(source, seq_len, rows, document_resets, max_predictions);
  // Batch by batch, so that the sums do not depend on who computed which.
  std::vector<double> found(loader.batches() * kNumbers);
  bool stopped = false;
  for (std::uint64_t first = 0; first < loader.batches() && !stopped; first += share.size) {
    const std::uint64_t i = std::min(first + share.rank, loader.batches() - 1);
    const data::Batch batch = loader.at(i);
    const auto losses = next_token_losses(ctx, model, view_of(batch), share.before_unit);
    if (i == first + share.rank)
      measure(batch, losses, tokenizer, std::span(found).subspan(i * kNumbers, kNumbers));
    if (progress) progress(i + 1, loader.batches());
    stopped = stop && *stop != 0;
    if (share.before_unit) stopped = share.any(stopped);
  }
  if (share.any ? share.any(stopped) : stopped) return std::nullopt;
  if (share.sum) share.sum(found);
  std::vector<double> sums(kNumbers);
  for (std::size_t i = 0; i < found.size(); ++i) sums[i % kNumbers] += found[i];
  if (sums[1] == 0) {
    fail(Exit::Data, "{}: its loss mask leaves nothing to predict in the {} tokens looked at; use other data",
         source.name(), loader.predictions());
  }
  EvalResult result = result_of(sums);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace rt
