#include "rt/data/loader.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "data/hash.h"
#include "data/rows.h"
#include "rt/core/error.h"
#include "rt/core/rng.h"
#include "rt/data/magic_prime.h"
#include "rt/data/permutation.h"

namespace rt::data {
namespace {

void shape_batch(Batch& batch, std::int64_t rows, std::int64_t seq_len, bool resets) {
  const auto cells = static_cast<std::size_t>(rows * seq_len);
  batch.B = rows;
  batch.T = seq_len;
  batch.tokens.resize(cells);
  batch.targets.resize(cells);
  batch.reset.resize(resets ? cells : 0);
  batch.predictions = 0;
}

RowCells row_of(Batch& batch, std::int64_t row) {
  const std::int64_t at = row * batch.T;
  return {batch.tokens.data() + at, batch.targets.data() + at,
          batch.reset.empty() ? nullptr : batch.reset.data() + at};
}

std::uint64_t seed_of(std::uint64_t seed, std::size_t source) {
  return source == 0 ? seed : Rng{seed, 0}.child("source").bits(source);
}

// Where a source goes on that has given `index` rows of epochs of `from`, when its epochs have `to`.
std::uint64_t carried_over(std::uint64_t index, std::uint64_t from, std::uint64_t to) {
  __extension__ using Wide = unsigned __int128;
  return index / from * to + static_cast<std::uint64_t>((Wide{index % from} * to + from - 1) / from);
}

}  // namespace

struct Loader::Stage {
  std::uint64_t first_step = 0, first_sample = 0;
  std::int64_t T = 0;
  std::uint64_t step_rows = 0, micro_rows = 0;
  std::vector<std::unique_ptr<Rows>> rows;  // per source, as the next three
  std::vector<std::uint64_t> epoch;         // rows in one
  std::vector<std::uint64_t> begin;         // index of its first row in this stage
  std::vector<std::optional<MagicOrder>> magic;
  std::optional<Mixture> mixture;

  std::uint64_t sample_at(std::uint64_t step) const { return first_sample + (step - first_step) * step_rows; }
  std::uint64_t steps() const {  // from first_step on
    return mixture->size() == Mixture::kNoLimit ? Mixture::kNoLimit : mixture->size() / step_rows;
  }
};

Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;

Loader::Loader(std::vector<LoaderSource> sources, const LoaderOptions& options)
    : sources_(std::move(sources)), options_(options) {
  const LoaderOptions& o = options_;
  RT_CHECK(!sources_.empty(), "loader: no sources");
  if (o.seq_len < 1 || o.global_sequences < 1 || o.micro_sequences < 1 ||
      o.global_sequences % o.micro_sequences != 0) {
    fail(Exit::Config,
         "loader: {} sequences per step cannot be cut into micro-batches of {} sequences of {} tokens",
         o.global_sequences, o.micro_sequences, o.seq_len);
  }
  RT_CHECK(o.order != Order::Streams || (sources_.size() == 1 && o.curriculum.empty()),
           "loader: streams follow one source at one length");
  RT_CHECK(o.packing == Packing::Concat || o.order == Order::Shuffled || o.order == Order::Sequential,
           "loader: this order is of windows");
  std::uint64_t step = 0;
  for (const ShortRows& part : o.curriculum) {
    RT_CHECK(part.until > step && part.seq_len > 0 && o.seq_len % part.seq_len == 0,
             "loader: rows of {} of {} tokens until step {}", part.seq_len, o.seq_len, part.until);
    add_stage(step, part.seq_len);
    step = part.until;
  }
  add_stage(step, o.seq_len);
}

// Rows of one epoch of a source.
std::uint64_t Loader::epoch_of(const Stage& stage, std::size_t j) const {
  const std::uint64_t rows = stage.rows[j]->count();
  if (stage.magic[j]) return stage.magic[j]->size();
  if (options_.order != Order::Streams) return rows;
  if (rows < stage.step_rows) {
    fail(Exit::Data,
         "{}: {} windows are too few for {} sequences that each read their own; use more data or a smaller "
         "batch",
         sources_[j].tokens->name(), rows, stage.step_rows);
  }
  return rows - rows % stage.step_rows;
}

void Loader::add_stage(std::uint64_t first_step, std::int64_t seq_len) {
  auto stage = std::make_unique<Stage>();
  const std::int64_t more = options_.seq_len / seq_len;
  stage->first_step = first_step;
  stage->T = seq_len;
  stage->step_rows = static_cast<std::uint64_t>(options_.global_sequences * more);
  stage->micro_rows = static_cast<std::uint64_t>(options_.micro_sequences * more);
  const Stage* last = stages_.empty() ? nullptr : stages_.back().get();
  std::vector<std::uint64_t> used(sources_.size(), 0);
  if (last != nullptr) {
    stage->first_sample = last->sample_at(first_step);
    used = last->mixture->used(std::min(stage->first_sample - last->first_sample, last->mixture->size()));
  }
  std::vector<Mixture::Share> shares(sources_.size());
  for (std::size_t j = 0; j < sources_.size(); ++j) {
    const TokenSource& source = *sources_[j].tokens;
    stage->rows.push_back(make_rows(source, {seq_len, options_.packing}));
    stage->magic.emplace_back();
    if (options_.order == Order::MagicPrime) {
      stage->magic[j].emplace(
          checked_magic_prime(options_.magic_prime, source.size(), seq_len, source.name()));
    }
    const std::uint64_t epoch = epoch_of(*stage, j);
    stage->epoch.push_back(epoch);
    stage->begin.push_back(last == nullptr ? 0
                                           : carried_over(last->begin[j] + used[j], last->epoch[j], epoch));
    // Rows are dealt so that predictions, not cells, come in the proportion of the weights.
    const Rows& rows = *stage->rows[j];
    shares[j].weight =
        sources_[j].weight * (static_cast<double>(rows.count()) * static_cast<double>(seq_len) /
                              static_cast<double>(rows.predictions()));
    if (sources_[j].epochs_max > 0) {
      const auto limit = static_cast<std::uint64_t>(sources_[j].epochs_max * static_cast<double>(epoch));
      shares[j].limit = limit - std::min(limit, stage->begin[j]);
    }
  }
  stage->mixture.emplace(shares);
  stages_.push_back(std::move(stage));
}

const Loader::Stage& Loader::stage_of_step(std::uint64_t step) const {
  std::size_t i = stages_.size() - 1;
  while (stages_[i]->first_step > step) --i;
  return *stages_[i];
}

std::uint64_t Loader::rows(std::size_t source) const { return stages_.back()->epoch[source]; }

std::uint64_t Loader::steps() const {
  for (std::size_t i = 0; i + 1 < stages_.size(); ++i) {
    const std::uint64_t steps = stages_[i]->steps();
    if (steps < stages_[i + 1]->first_step - stages_[i]->first_step) return stages_[i]->first_step + steps;
  }
  const Stage& last = *stages_.back();
  return last.steps() == Mixture::kNoLimit ? last.steps() : last.first_step + last.steps();
}

std::vector<double> Loader::epochs_at(std::uint64_t step) const {
  const Stage& s = stage_of_step(std::min(step, steps()));
  const std::uint64_t samples = s.sample_at(std::min(step, steps())) - s.first_sample;
  const std::vector<std::uint64_t> used = s.mixture->used(samples);
  std::vector<double> epochs;
  for (std::size_t j = 0; j < used.size(); ++j) {
    epochs.push_back(static_cast<double>(s.begin[j] + used[j]) / static_cast<double>(s.epoch[j]));
  }
  return epochs;
}

Loader::Place Loader::place_of(std::uint64_t sample) const {
  std::size_t i = stages_.size() - 1;
  while (stages_[i]->first_sample > sample) --i;
  return place_in(*stages_[i], sample);
}

Loader::Place Loader::place_in(const Stage& s, std::uint64_t sample) const {
  const Mixture::Pick pick = s.mixture->at(sample - s.first_sample);
  const std::uint64_t index = s.begin[pick.source] + pick.index, size = s.epoch[pick.source];
  Place place{pick.source, index / size, index % size};
  switch (options_.order) {
    case Order::Shuffled:
      place.row = Permutation(size, seed_of(options_.seed, place.source), place.epoch)(place.row);
      break;
    case Order::Sequential: break;
    case Order::MagicPrime: place.row = (*s.magic[place.source])(place.row); break;
    case Order::Streams:
      place.row = place.row % s.step_rows * (size / s.step_rows) + place.row / s.step_rows;
      break;
  }
  return place;
}

std::uint64_t Loader::fingerprint() const {
  const LoaderOptions& o = options_;
  const bool seeded = o.order == Order::Shuffled;
  const std::uint64_t parts[] = {sources_.front().tokens->fingerprint(),
                                 static_cast<std::uint64_t>(o.seq_len), seeded ? o.seed : 0,
                                 static_cast<std::uint64_t>(o.order), std::uint64_t{o.document_resets}};
  std::uint64_t value = xxh3(parts, sizeof(parts));
  const auto bits = [](double d) { return std::bit_cast<std::uint64_t>(d); };
  // What was not always there is added where it is used: a run from before it goes on.
  for (std::size_t j = 0; sources_.size() > 1 && j < sources_.size(); ++j) {
    value = combine(value, sources_[j].tokens->fingerprint());
    value = combine(value, combine(bits(sources_[j].weight), bits(sources_[j].epochs_max)));
  }
  if (o.packing != Packing::Concat) value = combine(value, static_cast<std::uint64_t>(o.packing));
  for (const LoaderSource& s : sources_) {
    if (is_masked(*s.tokens)) value = combine(value, s.tokens->mask_fingerprint());
  }
  if (o.order == Order::MagicPrime) value = combine(value, stages_.back()->epoch.front());
  if (o.order == Order::Streams) value = combine(value, stages_.back()->step_rows);
  for (const ShortRows& part : o.curriculum) {
    // Where the length changes depends on the tokens of a step.
    value = combine(value, combine(part.until * static_cast<std::uint64_t>(o.global_sequences),
                                   static_cast<std::uint64_t>(part.seq_len)));
  }
  return value;
}

Batch Loader::at(std::uint64_t step, int micro) const {
  Batch batch;
  at(step, micro, batch);
  return batch;
}

void Loader::at(std::uint64_t step, int micro, Batch& into) const {
  RT_CHECK(micro >= 0 && micro < micro_batches(), "loader: micro-batch {} of {}", micro, micro_batches());
  const Stage& s = stage_of_step(step);
  if (step - s.first_step >= s.steps()) {
    fail(Exit::Data, "step {}: every training source has been read epochs_max times by step {}", step,
         steps());
  }
  shape_batch(into, static_cast<std::int64_t>(s.micro_rows), s.T, options_.document_resets);
  into.step = step;
  into.micro = micro;
  into.first_sample = s.sample_at(step) + static_cast<std::uint64_t>(micro) * s.micro_rows;
  into.continues = options_.order == Order::Streams && step % (s.epoch.front() / s.step_rows) != 0;
  for (std::uint64_t j = 0; j < s.micro_rows; ++j) {
    const Place place = place_in(s, into.first_sample + j);
    into.predictions += s.rows[place.source]->fill(place.row, row_of(into, static_cast<std::int64_t>(j)));
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
    const std::uint64_t n = begin < predictions_ ? std::min(T, predictions_ - begin) : 0;
    const RowCells cells = row_of(out, row);
    std::fill(cells.tokens + n, cells.tokens + T, 0);
    std::fill(cells.targets + n, cells.targets + T, kIgnoreTarget);
    if (cells.reset != nullptr) std::fill(cells.reset + n, cells.reset + T, std::uint8_t{0});
    if (n == 0) continue;
    if (cells.reset != nullptr) source_->fill_resets(begin, n, cells.reset);
    out.predictions += fill_piece(*source_, begin, n, is_masked(*source_), cells);
  }
  return out;
}

}  // namespace rt::data
