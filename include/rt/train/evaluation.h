#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "rt/data/tokenizer.h"
#include "rt/train/objective.h"

namespace rt {

struct EvalResult {
  double loss = 0;           // nats per predicted token
  double perplexity = 0;     // exp(loss)
  double bits_per_byte = 0;  // of the predicted tokens' text
  std::uint64_t tokens = 0;  // predictions
  double seconds = 0;
};

// Mean loss over a source, from empty state in each window of seq_len. `stop`, when set and true, ends it
// early: the result is then empty. `progress` gets (batches done, batches); may be empty.
std::optional<EvalResult> evaluate(ExecContext& ctx, Objective& objective, const data::TokenSource& source,
                                   const data::Tokenizer& tokenizer, std::int64_t seq_len, std::int64_t rows,
                                   bool document_resets, std::uint64_t max_predictions,
                                   const std::atomic<int>* stop = nullptr,
                                   const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

}  // namespace rt
