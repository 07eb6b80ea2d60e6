#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "rt/data/tokenizer.h"
#include "rt/train/objective.h"

namespace rt {

// Of the predictions made when the model had read begin < n <= end tokens since it was last empty: in a
// window of seq_len tokens, after its start or, where documents reset the state, that of its document.
struct PositionLoss {
  std::uint64_t begin = 0, end = 0;
  double loss = 0;  // nats per predicted token
  std::uint64_t tokens = 0;
};

struct EvalResult {
  double loss = 0;           // nats per predicted token
  double perplexity = 0;     // exp(loss)
  double bits_per_byte = 0;  // of the predicted tokens' text
  std::uint64_t tokens = 0;  // predictions
  double seconds = 0;
  // By powers of two: after 1 token, 2, 3..4, 5..8 and so on; those with predictions, in order.
  std::vector<PositionLoss> by_position;
};

// (B * T) -log p of each target in order, 0 where it is ignored; empty in a dry run.
std::vector<double> next_token_losses(ExecContext& ctx, const LanguageModel& model, const BatchView& batch,
                                      const std::function<void(std::size_t)>* before_unit = nullptr);

// Memory for next_token_losses() with batches of this shape.
std::unique_ptr<Workspace> plan_evaluation(Device device, const LanguageModel& model, std::int64_t rows,
                                           std::int64_t seq_len, bool resets);

// Several processes, each of which computes every size-th batch from `rank` on, and the same result.
struct EvalShare {
  std::uint64_t rank = 0, size = 1;
  std::function<void(std::span<double>)> sum = {};  // of all processes' numbers, in their place
  std::function<bool(bool)> any = {};               // whether one of them says so
  // LanguageModel::In::before_unit, to which all processes come alike: one without a batch computes
  // another's.
  const std::function<void(std::size_t)>* before_unit = nullptr;
};

// Mean loss over a source, from empty state in each window of seq_len. `stop`, when set and true, ends it
// early: the result is then empty. `progress` gets (batches done, batches); may be empty.
std::optional<EvalResult> evaluate(ExecContext& ctx, const LanguageModel& model,
                                   const data::TokenSource& source, const data::Tokenizer& tokenizer,
                                   std::int64_t seq_len, std::int64_t rows, bool document_resets,
                                   std::uint64_t max_predictions, const std::atomic<int>* stop = nullptr,
                                   const std::function<void(std::uint64_t, std::uint64_t)>& progress = {},
                                   const EvalShare& share = {});

}  // namespace rt
