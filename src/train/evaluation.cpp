#include "rt/train/evaluation.h"

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <numbers>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/ops/linear_cross_entropy.h"
#include "rt/train/micro_step.h"

namespace rt {
namespace {

// Sums by how many tokens the model had read: bucket k is for (2^(k-1), 2^k].
class Positions {
 public:
  void add(const data::Batch& batch, const std::vector<double>& losses) {
    std::uint64_t read = 0;
    for (std::size_t i = 0; i < batch.targets.size(); ++i) {
      const bool starts =
          i % static_cast<std::size_t>(batch.T) == 0 || (!batch.reset.empty() && batch.reset[i]);
      read = starts ? 1 : read + 1;
      if (batch.targets[i] == data::kIgnoreTarget) continue;
      PositionLoss& bucket = buckets_[static_cast<std::size_t>(std::bit_width(read - 1))];
      bucket.loss += losses[i];
      ++bucket.tokens;
    }
  }
  std::vector<PositionLoss> means() const {
    std::vector<PositionLoss> found;
    for (std::size_t k = 0; k < buckets_.size(); ++k) {
      PositionLoss bucket = buckets_[k];
      if (bucket.tokens == 0) continue;
      bucket.begin = k == 0 ? 0 : std::uint64_t{1} << (k - 1);
      bucket.end = std::uint64_t{1} << k;
      bucket.loss /= static_cast<double>(bucket.tokens);
      found.push_back(bucket);
    }
    return found;
  }

 private:
  std::array<PositionLoss, 64> buckets_{};
};

}  // namespace

std::vector<double> next_token_losses(ExecContext& ctx, const LanguageModel& model, const BatchView& batch) {
  const ArenaScope saved(ctx.saved);
  const BatchView here = on_device(ctx, batch);
  Tape tape(ctx, Record::No);
  const Var tokens = tape.input(here.tokens), targets = tape.input(here.targets);
  const Var reset = here.reset ? tape.input(here.reset) : Var{};
  const LanguageModel::Out out = model.forward(tape, {.tokens = tokens, .reset = reset, .state = {}});
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
                                   const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const auto begin = std::chrono::steady_clock::now();
  const data::EvalLoader loader(source, seq_len, rows, document_resets, max_predictions);
  EvalResult result;
  double total = 0;
  std::uint64_t bytes = 0;
  Positions positions;
  for (std::uint64_t i = 0; i < loader.batches(); ++i) {
    if (stop && *stop != 0) return std::nullopt;
    const data::Batch batch = loader.at(i);
    result.tokens += batch.predictions;
    const std::vector<double> losses = next_token_losses(ctx, model, view_of(batch));
    for (const double loss : losses) total += loss;
    positions.add(batch, losses);
    for (const std::int32_t id : batch.targets) {
      if (id != data::kIgnoreTarget) bytes += tokenizer.decode_bytes(id).size();
    }
    if (progress) progress(i + 1, loader.batches());
  }
  if (result.tokens == 0) {
    fail(Exit::Data, "{}: its loss mask leaves nothing to predict in the {} tokens looked at; use other data",
         source.name(), loader.predictions());
  }
  result.loss = total / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.loss);
  result.bits_per_byte = total / (std::numbers::ln2 * static_cast<double>(bytes));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  result.by_position = positions.means();
  return result;
}

}  // namespace rt
