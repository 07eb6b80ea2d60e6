#include "rt/infer/scorer.h"

#include <algorithm>
#include <numeric>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/core/parallel.h"
#include "rt/ops/linear_cross_entropy.h"

namespace rt {
namespace {

constexpr std::int64_t kChunk = 64;         // tokens of a row at a time
constexpr std::int64_t kPadTo = 16;         // contexts: fewer shapes to plan for
constexpr std::int64_t kLogitsAtOnce = 64;  // rows of the vocabulary's size

std::int64_t length(const std::vector<std::int32_t>& ids) { return static_cast<std::int64_t>(ids.size()); }

void check_ids(const std::vector<std::int32_t>& ids, std::int64_t vocab) {
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= vocab)
      fail(Exit::Data, "token {} is outside the model's vocabulary of {}.", id, vocab);
  }
}

// Which of two requests is read first: similar lengths end up together.
bool shorter(const ScoreRequest& a, const ScoreRequest& b) {
  const auto longest = [](const ScoreRequest& r) {
    std::size_t n = 0;
    for (const auto& c : r.continuations) n = std::max(n, c.size());
    return n;
  };
  return std::pair(a.context.size(), longest(a)) < std::pair(b.context.size(), longest(b));
}

}  // namespace

Scorer::Scorer(const LanguageModel& model, Impl impl, DType compute, std::int64_t rows)
    : model_(model), impl_(impl), compute_(compute), rows_(rows) {
  RT_CHECK(rows > 0, "scorer: {} rows", rows);
}

std::size_t Scorer::bytes(const LanguageModel& model, Impl impl, DType compute, std::int64_t rows) {
  Scorer scorer(model, impl, compute, rows);
  State state;
  std::size_t states = 0;
  for (const StateField& field : model.state_fields(rows)) {
    Tensor& tensor = state.emplace_back();
    tensor.view = untouchable(field.shape, field.dtype(impl, compute), model.device());
    states += tensor.view.nbytes();
  }
  Workspace dry(model.device(), impl);
  scorer.measure(dry, rows, kChunk, state);
  return dry.saved().high_water() + dry.scratch().high_water() + 2 * states;  // contexts' and rows'
}

std::optional<std::vector<std::vector<Score>>> Scorer::score(
    std::span<const ScoreRequest> requests, bool greedy, const std::atomic<int>* stop,
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  std::vector<std::vector<Score>> scores(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const ScoreRequest& r = requests[i];
    RT_CHECK(!r.context.empty(), "scorer: request {} has no context", i);
    check_ids(r.context, model_.spec().vocab);
    for (const auto& c : r.continuations) {
      RT_CHECK(!c.empty(), "scorer: request {} has an empty continuation", i);
      check_ids(c, model_.spec().vocab);
    }
    scores[i].resize(r.continuations.size());
  }
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return shorter(requests[a], requests[b]); });
  for (std::size_t done = 0; done < order.size();) {
    if (stop && *stop != 0) return std::nullopt;
    const std::size_t n = std::min(order.size() - done, static_cast<std::size_t>(rows_));
    score_batch(requests, std::span(order).subspan(done, n), greedy, scores);
    done += n;
    if (progress) progress(done, order.size());
  }
  return scores;
}

void Scorer::score_batch(std::span<const ScoreRequest> requests, std::span<const std::size_t> batch,
                         bool greedy, std::vector<std::vector<Score>>& scores) {
  const State contexts = read_contexts(requests, batch);
  std::vector<Row> rows;
  for (std::size_t g = 0; g < batch.size(); ++g) {
    for (std::size_t j = 0; j < requests[batch[g]].continuations.size(); ++j) {
      rows.push_back({batch[g], j, static_cast<std::int64_t>(g)});
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    return requests[a.request].continuations[a.continuation].size() <
           requests[b.request].continuations[b.continuation].size();
  });
  for (std::size_t done = 0; done < rows.size();) {
    const std::size_t n = std::min(rows.size() - done, static_cast<std::size_t>(rows_));
    score_rows(requests, std::span(rows).subspan(done, n), contexts, greedy, scores);
    done += n;
  }
}

// All but the last token of each context, which is read with the continuations: its output predicts them.
Scorer::State Scorer::read_contexts(std::span<const ScoreRequest> requests,
                                    std::span<const std::size_t> batch) {
  const auto rows = static_cast<std::int64_t>(batch.size());
  State state = empty_state(rows);
  std::int64_t longest = 0;
  for (const std::size_t i : batch) longest = std::max(longest, length(requests[i].context) - 1);
  const std::int64_t padded = (longest + kPadTo - 1) / kPadTo * kPadTo;
  for (std::int64_t begin = 0; begin < padded;) {
    const std::int64_t T = (padded - begin - 1) % kChunk + 1;  // the first piece may be short
    Piece piece{rows, T, std::vector<std::int32_t>(static_cast<std::size_t>(rows * T)), {}, {}};
    piece.reset.resize(piece.ids.size());
    for (std::int64_t b = 0; b < rows; ++b) {
      const std::vector<std::int32_t>& context = requests[batch[static_cast<std::size_t>(b)]].context;
      const std::int64_t padding = padded - (length(context) - 1);
      for (std::int64_t t = std::max(begin, padding); t < begin + T; ++t) {
        const auto at = static_cast<std::size_t>(b * T + t - begin);
        piece.ids[at] = context[static_cast<std::size_t>(t - padding)];
        piece.reset[at] = t == padding;
      }
    }
    read(piece, state, false, {});
    begin += T;
  }
  return state;
}

void Scorer::score_rows(std::span<const ScoreRequest> requests, std::span<const Row> rows,
                        const State& contexts, bool greedy, std::vector<std::vector<Score>>& scores) {
  const auto n = static_cast<std::int64_t>(rows.size());
  State state = empty_state(n);
  std::int64_t longest = 0;
  const auto continuation = [&](const Row& r) -> const std::vector<std::int32_t>& {
    return requests[r.request].continuations[r.continuation];
  };
  for (std::int64_t b = 0; b < n; ++b) {
    const Row& row = rows[static_cast<std::size_t>(b)];
    longest = std::max(longest, length(continuation(row)));
    for (std::size_t f = 0; f < state.size(); ++f) {
      copy(state[f].view.slice(0, b, b + 1), contexts[f].view.slice(0, row.state, row.state + 1));
    }
  }
  std::vector<Score> sums(rows.size());
  for (std::int64_t begin = 0; begin < longest; begin += kChunk) {
    const std::int64_t T = std::min(kChunk, longest - begin);
    const auto size = static_cast<std::size_t>(n * T);
    Piece piece{n, T, std::vector<std::int32_t>(size), std::vector<std::int32_t>(size, -1), {}};
    piece.reset.resize(size);
    for (std::int64_t b = 0; b < n; ++b) {
      const Row& row = rows[static_cast<std::size_t>(b)];
      const std::vector<std::int32_t>&ids = continuation(row), &context = requests[row.request].context;
      // A context of one token has no state to go on from.
      if (begin == 0) piece.reset[static_cast<std::size_t>(b * T)] = context.size() == 1;
      for (std::int64_t t = begin; t < std::min(begin + T, length(ids)); ++t) {
        const auto at = static_cast<std::size_t>(b * T + t - begin);
        piece.ids[at] = t == 0 ? context.back() : ids[static_cast<std::size_t>(t - 1)];
        piece.targets[at] = ids[static_cast<std::size_t>(t)];
      }
    }
    read(piece, state, greedy, sums);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) scores[rows[i].request][rows[i].continuation] = sums[i];
}

Scorer::State Scorer::empty_state(std::int64_t rows) const {
  State state;
  for (const StateField& field : model_.state_fields(rows))
    state.emplace_back(field.shape, field.dtype(impl_, compute_), model_.device());
  return state;
}

// Room for everything that a piece of this shape may ask for.
void Scorer::measure(Workspace& workspace, std::int64_t rows, std::int64_t T, State& state) {
  const auto cells = static_cast<std::size_t>(rows * T);
  const Piece piece{rows, T, std::vector<std::int32_t>(cells), std::vector<std::int32_t>(cells),
                    std::vector<std::uint8_t>(cells)};
  forward(workspace.ctx(), piece, state, true, {});
}

void Scorer::read(const Piece& piece, State& state, bool greedy, std::span<Score> rows) {
  if (!planned_.contains({piece.rows, piece.T})) {
    Workspace dry(model_.device(), impl_);
    measure(dry, piece.rows, piece.T, state);
    const std::size_t saved = dry.saved().high_water(), scratch = dry.scratch().high_water();
    const std::size_t had_saved = workspace_ ? workspace_->saved().capacity() : 0;
    const std::size_t had_scratch = workspace_ ? workspace_->scratch().capacity() : 0;
    if (saved > had_saved || scratch > had_scratch) {
      workspace_.reset();
      workspace_ = std::make_unique<Workspace>(model_.device(), impl_, std::max(saved, had_saved),
                                               std::max(scratch, had_scratch), 0);
    }
    planned_.insert({piece.rows, piece.T});
  }
  forward(workspace_->ctx(), piece, state, greedy, rows);
}

void Scorer::forward(ExecContext& ctx, const Piece& piece, State& state, bool greedy, std::span<Score> rows) {
  const ArenaScope scope(ctx.saved);
  // Ops only read their inputs; TensorView has no const form.
  const auto staged = [&](const auto& values, DType dtype, const char* name) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    return stage(ctx, TensorView(const_cast<T*>(values.data()), {piece.rows, piece.T}, dtype), name);
  };
  Tape tape(ctx, Record::No);
  const Var ids = tape.input(staged(piece.ids, DType::I32, "tokens"));
  const Var reset = tape.input(staged(piece.reset, DType::U8, "reset"));
  VarList before;
  for (const Tensor& t : state) before.push_back(tape.input(t.view));
  const LanguageModel::Out out = model_.forward(tape, {.tokens = ids, .reset = reset, .state = before});
  if (!piece.targets.empty()) {
    const Var targets = tape.input(staged(piece.targets, DType::I32, "targets"));
    const Var losses = token_losses(tape, out.hidden, tape.param(model_.head()), targets);
    const std::vector<double> values = fetch_values(ctx, tape.value(losses));
    for (std::size_t i = 0; i < values.size(); ++i) {
      rows[i / static_cast<std::size_t>(piece.T)].log_prob -= values[i];
    }
    if (greedy) find_greedy(ctx, piece, tape.value(out.hidden), rows);
  }
  if (ctx.dry_run) return;
  for (std::size_t i = 0; i < state.size(); ++i) {
    const TensorView now = tape.value(out.state[i]);
    if (now.data != state[i].view.data) copy(state[i].view, now, ctx.stream);
  }
  ctx.stream.synchronize();  // the caller reuses its memory
}

void Scorer::find_greedy(ExecContext& ctx, const Piece& piece, const TensorView& hidden,
                         std::span<Score> rows) {
  const std::int64_t all = piece.rows * piece.T, C = hidden.shape.back(), V = model_.spec().vocab;
  for (std::int64_t first = 0; first < all; first += kLogitsAtOnce) {
    const std::int64_t n = std::min(kLogitsAtOnce, all - first);
    const auto wanted =
        std::span(piece.targets).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n));
    if (!ctx.dry_run && std::all_of(wanted.begin(), wanted.end(), [](auto id) { return id < 0; })) continue;
    const ArenaScope scope(ctx.saved);
    Tape tape(ctx, Record::No);
    const auto offset = static_cast<std::size_t>(first * C) * size_of(hidden.dtype);
    const TensorView part(hidden.data + offset, {1, n, C}, hidden.dtype, hidden.device);
    const TensorView logits = tape.value(model_.logits(tape, tape.adopt(part, false)));
    if (ctx.dry_run) continue;
    const Tensor host(logits.shape, logits.dtype);
    fetch(ctx, host.view.data, logits.data, logits.nbytes());
    std::vector<std::uint8_t> hit(static_cast<std::size_t>(n), 1);
    parallel_for(n, 1, [&](std::int64_t r, std::int64_t) {
      const std::int32_t target = wanted[static_cast<std::size_t>(r)];
      if (target < 0) return;
      const double mine = element(host.view, r * V + target);
      for (std::int64_t v = 0; v < V && hit[static_cast<std::size_t>(r)]; ++v) {
        const double other = element(host.view, r * V + v);
        hit[static_cast<std::size_t>(r)] = !(other > mine || (other == mine && v < target));
      }
    });
    for (std::int64_t r = 0; r < n; ++r) {
      if (!hit[static_cast<std::size_t>(r)])
        rows[static_cast<std::size_t>((first + r) / piece.T)].greedy = false;
    }
  }
}

}  // namespace rt
