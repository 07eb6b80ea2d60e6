#include "rt/data/loader.h"

#include <algorithm>

#include "data/hash.h"
#include "rt/core/error.h"
#include "rt/data/permutation.h"

namespace rt::data {
namespace {

void shape_batch(Batch& batch, std::int64_t rows, std::int64_t seq_len, bool resets) {
  const auto cells = static_cast<std::size_t>(rows * seq_len);
  batch.B = rows;
  batch.T = seq_len;
  batch.tokens.assign(cells, 0);
  batch.targets.assign(cells, kIgnoreTarget);
  batch.reset.assign(resets ? cells : 0, 0);
  batch.predictions = 0;
}

// Row `row` gets tokens [begin, begin + n) and their n successors; n <= T.
void fill_row(const TokenSource& source, Batch& batch, std::int64_t row, std::uint64_t begin, std::size_t n) {
  std::int32_t* tokens = batch.tokens.data() + row * batch.T;
  std::int32_t* targets = batch.targets.data() + row * batch.T;
  source.read(begin, n, tokens);
  std::copy(tokens + 1, tokens + n, targets);
  source.read(begin + n, 1, targets + n - 1);
  if (!batch.reset.empty()) source.fill_resets(begin, n, batch.reset.data() + row * batch.T);
  batch.predictions += n;
}

}  // namespace

Loader::Loader(const TokenSource& source, const LoaderOptions& options)
    : source_(&source), options_(options) {
  const LoaderOptions& o = options_;
  if (o.seq_len < 1 || o.global_sequences < 1 || o.micro_sequences < 1 ||
      o.global_sequences % o.micro_sequences != 0) {
    fail(Exit::Config,
         "loader: {} sequences per step cannot be cut into micro-batches of {} sequences of {} tokens",
         o.global_sequences, o.micro_sequences, o.seq_len);
  }
  const auto T = static_cast<std::uint64_t>(o.seq_len);
  windows_ = source.size() == 0 ? 0 : (source.size() - 1) / T;
  if (windows_ == 0) {
    fail(Exit::Data,
         "{}: {} tokens are fewer than one window of seq_len + 1 = {}; use more data or a smaller seq_len",
         source.name(), source.size(), T + 1);
  }
}

double Loader::epoch_at(std::uint64_t step) const {
  return static_cast<double>(step) * static_cast<double>(options_.global_sequences) /
         static_cast<double>(windows_);
}

std::uint64_t Loader::window_of(std::uint64_t sample) const {
  const std::uint64_t epoch = sample / windows_, i = sample % windows_;
  return options_.order == Order::Sequential ? i : Permutation(windows_, options_.seed, epoch)(i);
}

std::uint64_t Loader::fingerprint() const {
  const bool shuffled = options_.order == Order::Shuffled;
  const std::uint64_t parts[] = {source_->fingerprint(), static_cast<std::uint64_t>(options_.seq_len),
                                 shuffled ? options_.seed : 0, static_cast<std::uint64_t>(options_.order),
                                 std::uint64_t{options_.document_resets}};
  return xxh3(parts, sizeof(parts));
}

Batch Loader::at(std::uint64_t step, int micro) const {
  Batch batch;
  at(step, micro, batch);
  return batch;
}

void Loader::at(std::uint64_t step, int micro, Batch& into) const {
  RT_CHECK(micro >= 0 && micro < micro_batches(), "loader: micro-batch {} of {}", micro, micro_batches());
  const auto rows = static_cast<std::uint64_t>(options_.micro_sequences);
  shape_batch(into, options_.micro_sequences, options_.seq_len, options_.document_resets);
  into.step = step;
  into.micro = micro;
  into.first_sample =
      step * static_cast<std::uint64_t>(options_.global_sequences) + static_cast<std::uint64_t>(micro) * rows;
  const auto T = static_cast<std::uint64_t>(options_.seq_len);
  for (std::uint64_t j = 0; j < rows; ++j) {
    fill_row(*source_, into, static_cast<std::int64_t>(j), window_of(into.first_sample + j) * T, T);
  }
}

EvalLoader::EvalLoader(const TokenSource& source, std::int64_t seq_len, std::int64_t batch_rows,
                       bool document_resets, std::uint64_t max_predictions)
    : source_(&source), seq_len_(seq_len), rows_(batch_rows), resets_(document_resets) {
  if (seq_len < 1 || batch_rows < 1)
    fail(Exit::Config, "evaluation: batch of {} x {} tokens", batch_rows, seq_len);
  if (source.size() < 2) {
    fail(Exit::Data, "{}: {} tokens are too few to evaluate on; 2 are needed", source.name(), source.size());
  }
  predictions_ = source.size() - 1;
  if (max_predictions > 0) predictions_ = std::min(predictions_, max_predictions);
}

std::uint64_t EvalLoader::batches() const {
  const auto per_batch = static_cast<std::uint64_t>(rows_ * seq_len_);
  return (predictions_ + per_batch - 1) / per_batch;
}

Batch EvalLoader::at(std::uint64_t batch) const {
  RT_CHECK(batch < batches(), "evaluation: batch {} of {}", batch, batches());
  Batch out;
  shape_batch(out, rows_, seq_len_, resets_);
  out.step = batch;
  out.first_sample = batch * static_cast<std::uint64_t>(rows_);
  const auto T = static_cast<std::uint64_t>(seq_len_);
  for (std::int64_t row = 0; row < rows_; ++row) {
    const std::uint64_t begin = (out.first_sample + static_cast<std::uint64_t>(row)) * T;
    if (begin >= predictions_) break;
    fill_row(*source_, out, row, begin, std::min(T, predictions_ - begin));
  }
  return out;
}

}  // namespace rt::data
