#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "rt/data/mixture.h"
#include "rt/data/token_source.h"

namespace rt::data {

inline constexpr std::int32_t kIgnoreTarget = -1;

struct Batch {
  std::int64_t B = 0, T = 0;
  std::vector<std::int32_t> tokens;  // (B, T)
  // (B, T) the token after each; kIgnoreTarget where there is none, or the source's loss mask leaves it out
  std::vector<std::int32_t> targets;
  std::vector<std::uint8_t> reset;  // (B, T) 1 where a document starts; empty when resets were not asked for
  std::uint64_t step = 0;           // the arguments it was made with
  int micro = 0;
  std::uint64_t first_sample = 0;  // global index of row 0
  std::uint64_t predictions = 0;   // targets that are not ignored
  bool continues = false;          // Order::Streams: row j goes on where row j of (step - 1, micro) ended
};

enum class Order : std::uint8_t {
  Shuffled,    // every row once per epoch, by a permutation of (seed, source, epoch)
  Sequential,  // ascending
  MagicPrime,  // RWKV-LM's order, see magic_prime.h; the same in every epoch
  Streams,     // row j of a step goes on where row j of the step before ended: each of the G rows of a step
               // reads its own floor(rows / G) consecutive windows, and then again from their first
};

// How a source becomes rows of T predictions. Within a document every prediction is made once per epoch.
enum class Packing : std::uint8_t {
  Concat,  // row w is tokens [w T, w T + T] of the source, documents following one another
  Pack,    // whole documents, longer ones cut into T, put together so that few cells stay empty
  Pad,     // one document a row, longer ones cut into T, the rest of the row empty
};

struct LoaderSource {
  const TokenSource* tokens = nullptr;  // must outlive the loader
  double weight = 1.0;                  // share of the predicted tokens, relative to the other sources
  double epochs_max = 0;  // times it is read at most, then the others take its part; 0: no limit
};

// Until step `until`, rows of seq_len tokens, which divides LoaderOptions::seq_len; a step has that many
// times more rows, and the same number of tokens.
struct ShortRows {
  std::uint64_t until = 0;
  std::int64_t seq_len = 0;
};

struct LoaderOptions {
  std::int64_t seq_len = 0;           // T
  std::int64_t global_sequences = 1;  // rows of one optimizer step, over all ranks
  std::int64_t micro_sequences = 1;   // rows of one batch; divides global_sequences
  std::uint64_t seed = 0;
  Order order = Order::Shuffled;
  bool document_resets = false;  // fill Batch::reset
  Packing packing = Packing::Concat;
  std::uint64_t magic_prime = 0;           // Order::MagicPrime with one source; 0: found
  std::vector<ShortRows> curriculum = {};  // ascending; after the last one rows of seq_len
};

class Rows;  // data/rows.h

// Training samples as a pure function of (seed, global sample index), so that a run resumes from a number and
// the order depends neither on the rank count nor on how a step is cut into micro-batches.
//
// Sample i is row `index` of a source as Mixture deals them, index counted through the source's epochs: epoch
// e is rows [e * rows, (e + 1) * rows) in the order of that epoch. Where the length of rows changes, every
// source goes on at the same fraction of its epoch, rounded up to a whole row. Safe to use from many threads.
class Loader {
 public:
  // Exit::Data when a source is too short, Exit::Config for impossible options.
  Loader(std::vector<LoaderSource> sources, const LoaderOptions& options);
  Loader(const TokenSource& source, const LoaderOptions& options)
      : Loader(std::vector<LoaderSource>{{&source}}, options) {}
  ~Loader();
  Loader(Loader&&) noexcept;

  const LoaderOptions& options() const { return options_; }
  int micro_batches() const { return static_cast<int>(options_.global_sequences / options_.micro_sequences); }
  std::size_t sources() const { return sources_.size(); }
  std::uint64_t rows(std::size_t source = 0) const;  // per epoch, of the full length
  // Whole steps until every source has been read epochs_max times; Mixture::kNoLimit when one has no limit.
  std::uint64_t steps() const;
  // Of each source, epochs read before `step`.
  std::vector<double> epochs_at(std::uint64_t step) const;

  struct Place {
    std::size_t source = 0;
    std::uint64_t epoch = 0, row = 0;
  };
  Place place_of(std::uint64_t sample) const;
  // Equal for loaders that give equal samples: a checkpoint stores it and refuses to resume on another.
  std::uint64_t fingerprint() const;

  // Rows are samples first_sample(step, micro) and those after it. Exit::Data beyond steps().
  Batch at(std::uint64_t step, int micro) const;
  void at(std::uint64_t step, int micro, Batch& into) const;  // reuses the memory of `into`

 private:
  struct Stage;  // of one row length
  const Stage& stage_of_step(std::uint64_t step) const;
  Place place_in(const Stage& stage, std::uint64_t sample) const;
  std::uint64_t epoch_of(const Stage& stage, std::size_t source) const;
  void add_stage(std::uint64_t first_step, std::int64_t seq_len);
  std::vector<LoaderSource> sources_;
  LoaderOptions options_;
  std::vector<std::unique_ptr<Stage>> stages_;
};

// Every prediction of a source once, in order: windows at stride T, the last one padded with token 0 and
// kIgnoreTarget, and the last batch padded with whole rows of these, so that all batches have one shape.
class EvalLoader {
 public:
  // At most `max_predictions` targets, 0 for all. Exit::Data when the source has fewer than two tokens.
  EvalLoader(const TokenSource& source, std::int64_t seq_len, std::int64_t batch_rows, bool document_resets,
             std::uint64_t max_predictions = 0);
  std::uint64_t batches() const;
  std::uint64_t predictions() const { return predictions_; }  // a loss mask is not looked at
  Batch at(std::uint64_t batch) const;

 private:
  const TokenSource* source_;
  std::int64_t seq_len_, rows_;
  bool resets_;
  std::uint64_t predictions_ = 0;
};

}  // namespace rt::data
