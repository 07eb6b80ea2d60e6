#include <algorithm>
#include <deque>
#include <mutex>
#include <set>
#include <tuple>
#include <unordered_map>

#include "data/rows.h"
#include "rt/core/error.h"
#include "rt/core/parallel.h"

namespace rt::data {
namespace {

// Documents are packed among those that begin in the same block of tokens, so that the plan of a block can be
// made again whenever it is needed, from that part of the source alone. What is kept of a block is how many
// rows it has.
constexpr std::uint64_t kBlockRows = 64;  // a block is so many rows of tokens, within these limits
constexpr std::uint64_t kLeastBlock = std::uint64_t{1} << 18, kMostBlock = std::uint64_t{1} << 24;
constexpr std::size_t kCachedBytes = std::size_t{64} << 20;  // of plans

struct Piece {  // n predictions: tokens [begin, begin + n) and those after each
  std::uint64_t begin = 0;
  std::uint64_t n = 0;
};

// Consecutive rows of one kind: full ones of a long document, or (pieces > 0) one row of several pieces.
struct Run {
  std::uint64_t first_row = 0;
  std::uint64_t begin = 0;  // first token
  std::size_t first_piece = 0, pieces = 0;
};

struct Plan {
  std::vector<Run> runs;      // by first token
  std::vector<Piece> pieces;  // of a row in the order of the source
  std::uint64_t rows = 0, predictions = 0;
  std::size_t bytes() const { return runs.size() * sizeof(Run) + pieces.size() * sizeof(Piece); }
};

// Row of each piece, when every piece goes where it leaves the least room, longest pieces first.
std::vector<std::size_t> best_fit(const std::vector<Piece>& pieces, std::uint64_t T) {
  std::vector<std::size_t> by_length(pieces.size()), row(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) by_length[i] = i;
  std::stable_sort(by_length.begin(), by_length.end(),
                   [&](std::size_t a, std::size_t b) { return pieces[a].n > pieces[b].n; });
  std::set<std::pair<std::uint64_t, std::size_t>> room;  // (cells left, row)
  std::size_t rows = 0;
  for (const std::size_t i : by_length) {
    const auto fits = room.lower_bound({pieces[i].n, 0});
    std::uint64_t left = T;
    row[i] = rows;
    if (fits == room.end()) {
      ++rows;
    } else {
      std::tie(left, row[i]) = *fits;
      room.erase(fits);
    }
    if (left > pieces[i].n) room.insert({left - pieces[i].n, row[i]});
  }
  return row;
}

class PackedRows final : public Rows {
 public:
  PackedRows(const TokenSource& source, const RowOptions& options)
      : source_(source),
        options_(options),
        T_(static_cast<std::uint64_t>(options.seq_len)),
        masked_(is_masked(source)) {
    block_ = std::clamp(kBlockRows * T_, kLeastBlock, kMostBlock);
    const std::uint64_t blocks = (source.size() + block_ - 1) / block_;
    first_row_.resize(blocks + 1);
    std::vector<std::uint64_t> predictions(blocks);
    parallel_for(static_cast<std::int64_t>(blocks), 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto b = static_cast<std::uint64_t>(begin); b < static_cast<std::uint64_t>(end); ++b) {
        const Plan plan = make_plan(b);
        first_row_[b + 1] = plan.rows;
        predictions[b] = plan.predictions;
      }
    });
    for (std::uint64_t b = 0; b < blocks; ++b) {
      first_row_[b + 1] += first_row_[b];
      predictions_ += predictions[b];
    }
    if (count() > 0) return;
    fail(Exit::Data, "{}: {} tokens, but no document of two: there is nothing to predict; check the data",
         source.name(), source.size());
  }

  std::uint64_t count() const override { return first_row_.back(); }
  std::uint64_t predictions() const override { return predictions_; }

  std::uint64_t fill(std::uint64_t row, const RowCells& cells) const override {
    const auto after = std::upper_bound(first_row_.begin(), first_row_.end() - 1, row);
    const auto block = static_cast<std::uint64_t>(after - first_row_.begin()) - 1;
    const std::shared_ptr<const Plan> plan = plan_of(block);
    const std::uint64_t local = row - first_row_[block];
    const auto run = std::upper_bound(plan->runs.begin(), plan->runs.end(), local,
                                      [](std::uint64_t r, const Run& x) { return r < x.first_row; }) -
                     1;
    if (cells.reset != nullptr) std::fill(cells.reset, cells.reset + T_, std::uint8_t{0});
    if (run->pieces == 0) return put({run->begin + (local - run->first_row) * T_, T_}, 0, cells);
    std::uint64_t at = 0, kept = 0;
    for (std::size_t i = 0; i < run->pieces; ++i) {
      const Piece& piece = plan->pieces[run->first_piece + i];
      kept += put(piece, at, cells);
      at += piece.n;
    }
    std::fill(cells.tokens + at, cells.tokens + T_, 0);
    std::fill(cells.targets + at, cells.targets + T_, kIgnoreTarget);
    return kept;
  }

 private:
  std::uint64_t put(const Piece& piece, std::uint64_t at, const RowCells& cells) const {
    if (cells.reset != nullptr) cells.reset[at] = 1;
    return fill_piece(source_, piece.begin, static_cast<std::size_t>(piece.n), masked_,
                      {cells.tokens + at, cells.targets + at, nullptr});
  }

  Plan make_plan(std::uint64_t block) const {
    Plan plan;
    std::vector<Piece> rest;  // shorter than a row
    const std::uint64_t end = std::min(source_.size(), (block + 1) * block_);
    std::uint64_t begin = source_.next_document(block * block_);
    while (begin < end) {
      const std::uint64_t next = source_.next_document(begin + 1), n = next - begin - 1, full = n / T_;
      plan.predictions += n;
      plan.rows += full;
      if (full > 0) plan.runs.push_back({.first_row = full, .begin = begin});
      if (n % T_ != 0) rest.push_back({begin + full * T_, n % T_});
      begin = next;
    }
    add_rows(rest, plan);
    std::sort(plan.runs.begin(), plan.runs.end(),
              [](const Run& a, const Run& b) { return a.begin < b.begin; });
    std::uint64_t row = 0;
    for (Run& run : plan.runs) {  // first_row is the number of rows so far
      const std::uint64_t rows = run.first_row;
      run.first_row = row;
      row += rows;
    }
    return plan;
  }

  void add_rows(std::vector<Piece>& rest, Plan& plan) const {
    std::vector<std::size_t> row;
    if (options_.packing == Packing::Pack) {
      row = best_fit(rest, T_);
    } else {
      for (std::size_t i = 0; i < rest.size(); ++i) row.push_back(i);
    }
    std::vector<std::size_t> order(rest.size());
    for (std::size_t i = 0; i < rest.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return row[a] < row[b]; });
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i == 0 || row[order[i]] != row[order[i - 1]]) {
        plan.runs.push_back(
            {.first_row = 1, .begin = rest[order[i]].begin, .first_piece = plan.pieces.size()});
        ++plan.rows;
      }
      ++plan.runs.back().pieces;
      plan.pieces.push_back(rest[order[i]]);
    }
  }

  std::shared_ptr<const Plan> plan_of(std::uint64_t block) const {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = cached_.find(block); found != cached_.end()) return found->second;
    }
    auto plan = std::make_shared<const Plan>(make_plan(block));
    const std::lock_guard lock(mutex_);
    if (!cached_.emplace(block, plan).second) return plan;
    cached_bytes_ += plan->bytes();
    age_.push_back(block);
    while (cached_bytes_ > kCachedBytes && age_.size() > 1) {
      const auto oldest = cached_.find(age_.front());
      cached_bytes_ -= oldest->second->bytes();
      cached_.erase(oldest);
      age_.pop_front();
    }
    return plan;
  }

  const TokenSource& source_;
  RowOptions options_;
  std::uint64_t T_;
  bool masked_;
  std::uint64_t block_ = 0;
  std::vector<std::uint64_t> first_row_;  // (blocks + 1) running totals
  std::uint64_t predictions_ = 0;
  mutable std::mutex mutex_;  // of the following: plans in use again and again
  mutable std::unordered_map<std::uint64_t, std::shared_ptr<const Plan>> cached_;
  mutable std::deque<std::uint64_t> age_;
  mutable std::size_t cached_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Rows> make_packed_rows(const TokenSource& source, const RowOptions& options) {
  return std::make_unique<PackedRows>(source, options);
}

}  // namespace rt::data
