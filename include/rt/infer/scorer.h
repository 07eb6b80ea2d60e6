#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "rt/core/exec.h"
#include "rt/nn/language_model.h"

namespace rt {

// How likely are these continuations of one context?
struct ScoreRequest {
  std::vector<std::int32_t> context;                     // at least one token
  std::vector<std::vector<std::int32_t>> continuations;  // each at least one token
};

struct Score {
  double log_prob = 0;  // of all its tokens, nats
  bool greedy = true;   // each token was the most likely one (the first on ties)
};

// Scores many continuations at once. A context is read once, whatever the number of its continuations, which
// go on from copies of the recurrent state. Contexts of similar length are read together, the shorter ones
// after padding that a reset then forgets; padding behind a continuation is never looked at. So a score is
// that of the request alone, but for rounding. The model must outlive it.
class Scorer {
 public:
  static constexpr std::int64_t kRows = 32;
  // `rows`: texts read at once, which bounds memory; at most 64 tokens of each are in flight.
  Scorer(const LanguageModel& model, Impl impl, DType compute, std::int64_t rows = kRows);
  // What score() takes at most, beside the model. A store in MemoryMode::Measure will do.
  static std::size_t bytes(const LanguageModel& model, Impl impl, DType compute, std::int64_t rows = kRows);

  // Result [i][j] is of request i, continuation j. Empty when `stop`, if set, becomes true. `progress` gets
  // (requests done, requests); may be empty. `greedy` false: Score::greedy is not found out, which is faster.
  // Exit::Data for a token outside the vocabulary.
  std::optional<std::vector<std::vector<Score>>> score(
      std::span<const ScoreRequest> requests, bool greedy, const std::atomic<int>* stop = nullptr,
      const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

 private:
  using State = std::vector<Tensor>;
  // What all rows read at once, (rows, T) each.
  struct Piece {
    std::int64_t rows = 0, T = 0;
    std::vector<std::int32_t> ids, targets;  // targets: -1 where no prediction is wanted; empty: nowhere
    std::vector<std::uint8_t> reset;
  };
  struct Row {
    std::size_t request, continuation;
    std::int64_t state;  // row of the contexts' states
  };

  void score_batch(std::span<const ScoreRequest> requests, std::span<const std::size_t> batch, bool greedy,
                   std::vector<std::vector<Score>>& scores);
  void score_rows(std::span<const ScoreRequest> requests, std::span<const Row> rows, const State& contexts,
                  bool greedy, std::vector<std::vector<Score>>& scores);
  State read_contexts(std::span<const ScoreRequest> requests, std::span<const std::size_t> batch);
  State empty_state(std::int64_t rows) const;
  void measure(Workspace& workspace, std::int64_t rows, std::int64_t T, State& state);
  // Adds to `rows` what the targets of each score; the state moves on.
  void read(const Piece& piece, State& state, bool greedy, std::span<Score> rows);
  void forward(ExecContext& ctx, const Piece& piece, State& state, bool greedy, std::span<Score> rows);
  void find_greedy(ExecContext& ctx, const Piece& piece, const TensorView& hidden, std::span<Score> rows);

  const LanguageModel& model_;
  Impl impl_;
  DType compute_;
  std::int64_t rows_;
  std::unique_ptr<Workspace> workspace_;
  std::set<std::pair<std::int64_t, std::int64_t>> planned_;  // (rows, T) that workspace_ has room for
};

}  // namespace rt
