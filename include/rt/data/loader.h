#pragma once
#include <cstdint>
#include <vector>

#include "rt/data/token_source.h"

namespace rt::data {

inline constexpr std::int32_t kIgnoreTarget = -1;

struct Batch {
  std::int64_t B = 0, T = 0;
  std::vector<std::int32_t> tokens;   // (B, T)
  std::vector<std::int32_t> targets;  // (B, T) the token after each; kIgnoreTarget where there is none
  std::vector<std::uint8_t> reset;  // (B, T) 1 where a document starts; empty when resets were not asked for
  std::uint64_t step = 0;           // the arguments it was made with
  int micro = 0;
  std::uint64_t first_sample = 0;  // global index of row 0
  std::uint64_t predictions = 0;   // targets that are not ignored
};

enum class Order : std::uint8_t { Shuffled, Sequential };

struct LoaderOptions {
  std::int64_t seq_len = 0;           // T
  std::int64_t global_sequences = 1;  // rows of one optimizer step, over all ranks
  std::int64_t micro_sequences = 1;   // rows of one batch; divides global_sequences
  std::uint64_t seed = 0;
  Order order = Order::Shuffled;
  bool document_resets = false;  // fill Batch::reset
};

// Training samples as a pure function of (seed, global sample index), so that a run resumes from a number and
// the order depends neither on the rank count nor on how a step is cut into micro-batches.
//
// Window w of the source is tokens [w * T, w * T + T], one more than T, for the last target; there are
// floor((size - 1) / T) of them. Epoch e is samples [e * windows, (e + 1) * windows): every window once, in
// the order of Permutation(windows, seed, e), or ascending. Safe to use from many threads. The source must
// outlive it.
class Loader {
 public:
  // Exit::Data when the source is shorter than one window, Exit::Config for impossible options.
  Loader(const TokenSource& source, const LoaderOptions& options);

  const LoaderOptions& options() const { return options_; }
  std::uint64_t windows() const { return windows_; }  // samples per epoch
  int micro_batches() const { return static_cast<int>(options_.global_sequences / options_.micro_sequences); }
  double epoch_at(std::uint64_t step) const;  // epochs consumed before `step`
  std::uint64_t window_of(std::uint64_t sample) const;
  // Equal for loaders that give equal samples: a checkpoint stores it and refuses to resume on another.
  std::uint64_t fingerprint() const;

  // Rows are samples step * global_sequences + micro * micro_sequences + [0, micro_sequences).
  Batch at(std::uint64_t step, int micro) const;
  void at(std::uint64_t step, int micro, Batch& into) const;  // reuses the memory of `into`

 private:
  const TokenSource* source_;
  LoaderOptions options_;
  std::uint64_t windows_ = 0;
};

// Every prediction of a source once, in order: windows at stride T, the last one padded with token 0 and
// kIgnoreTarget, and the last batch padded with whole rows of these, so that all batches have one shape.
class EvalLoader {
 public:
  // At most `max_predictions` targets, 0 for all. Exit::Data when the source has fewer than two tokens.
  EvalLoader(const TokenSource& source, std::int64_t seq_len, std::int64_t batch_rows, bool document_resets,
             std::uint64_t max_predictions = 0);
  std::uint64_t batches() const;
  std::uint64_t predictions() const { return predictions_; }
  Batch at(std::uint64_t batch) const;

 private:
  const TokenSource* source_;
  std::int64_t seq_len_, rows_;
  bool resets_;
  std::uint64_t predictions_ = 0;
};

}  // namespace rt::data
