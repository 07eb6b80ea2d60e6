#include "rt/train/evaluation.h"

#include <chrono>
#include <cmath>
#include <numbers>

#include "rt/train/micro_step.h"

namespace rt {

std::optional<EvalResult> evaluate(ExecContext& ctx, Objective& objective, const data::TokenSource& source,
                                   const data::Tokenizer& tokenizer, std::int64_t seq_len, std::int64_t rows,
                                   bool document_resets, std::uint64_t max_predictions,
                                   const std::atomic<int>* stop,
                                   const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const auto begin = std::chrono::steady_clock::now();
  const data::EvalLoader loader(source, seq_len, rows, document_resets, max_predictions);
  double total = 0;
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < loader.batches(); ++i) {
    if (stop && *stop != 0) return std::nullopt;
    const data::Batch batch = loader.at(i);
    for (const double sum : micro_loss(ctx, objective, view_of(batch))) total += sum;
    for (const std::int32_t id : batch.targets) {
      if (id != data::kIgnoreTarget) bytes += tokenizer.decode_bytes(id).size();
    }
    if (progress) progress(i + 1, loader.batches());
  }
  EvalResult result;
  result.tokens = loader.predictions();
  result.loss = total / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.loss);
  result.bits_per_byte = total / (std::numbers::ln2 * static_cast<double>(bytes));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace rt
