#include "rt/train/exchange.h"

#include <algorithm>
#include <map>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/dist/rendezvous.h"
#include "rt/io/file.h"

namespace rt {

Exchange::Exchange(ExecContext& ctx, ParamStore& store, dist::Communicator& communicator,
                   const Options& options)
    : ctx_(ctx), store_(store), communicator_(communicator), options_(options) {
  const bool shared_out = store.sharding().shares(2);
  every_round_ = shared_out || (options.rounds > 1 && options.deterministic);
  if (every_round_) {
    // Without `deterministic` rounds are added one after the other: no more memory than the sum.
    const int world = options.deterministic ? size() : GradientTree::kLeaves;
    tree_.emplace(ctx, store.owned_extent(), options.rounds, world, !shared_out);
  }
  const std::span<const ParamUnit> units = store.units();
  std::int64_t at = 0;
  for (const ParamUnit& unit : units) {
    at_.push_back(at);
    at += unit.own_value.numel();
    in_slot_.resize(std::max(in_slot_.size(), unit.slot + 1));
  }
  missing_.resize(units.size());
  sums_.resize(units.size());
  values_.resize(units.size());
  std::vector<const Parameter*> all;
  for (const Parameter* p : store.parameters())
    if (p->trainable) all.push_back(p);
  expect_gradients_of(all);
}

void Exchange::expect_gradients_of(const std::vector<const Parameter*>& reached) {
  const std::span<const ParamUnit> units = store_.units();
  reached_.assign(units.size(), 0);
  unwritten_.assign(units.size(), {});
  std::vector<std::map<const std::byte*, const std::byte*>> written(units.size());
  for (const Parameter* p : reached) {
    ++reached_[p->unit];
    if (p->grad) written[p->unit][p->grad.data] = p->grad.data + p->grad.nbytes();
  }
  for (std::size_t u = 0; u < units.size(); ++u) {
    const TensorView& grad = units[u].grad;
    const auto size = static_cast<std::ptrdiff_t>(size_of(grad.dtype));
    const std::byte* at = grad.data;
    const auto gap = [&](const std::byte* end) {
      if (end > at) unwritten_[u].push_back(grad.slice(0, (at - grad.data) / size, (end - grad.data) / size));
    };
    for (const auto& [begin, end] : written[u]) {
      gap(begin);
      at = end;
    }
    gap(grad.data + grad.nbytes());
  }
}

bool Exchange::listens(int round) const {
  return size() > 1 && (every_round_ || round + 1 == options_.rounds);
}

TensorView Exchange::leaf(std::size_t unit) const {
  const ParamUnit& u = store_.units()[unit];
  if (!store_.sharding().shares(2)) return u.own_grad;
  const std::int64_t each = u.extent / size();
  return u.grad.slice(0, rank() * each, (rank() + 1) * each);
}

void Exchange::begin_round(int round) {
  round_ = round;
  next_ = store_.units().size();
  missing_ = reached_;
}

void Exchange::gradient_done(const Parameter& parameter) {
  if (--missing_[parameter.unit] > 0) return;
  after_backward(parameter.unit);
  if (every_round_ || round_ + 1 == options_.rounds) reduce_complete();
}

// In the same order in every process, whatever each has computed: from the last unit to the first, as
// backward comes to them.
void Exchange::reduce_complete() {
  while (next_ > 0 && missing_[next_ - 1] == 0) {
    reduce(--next_);
    // The one that backward comes to next writes where the one before this was: its sum has had all of
    // this one's backward to get done.
    if (store_.sharding().shares(2) && next_ + 1 < store_.units().size()) finish_sum(next_ + 1);
  }
}

void Exchange::reduce(std::size_t unit) {
  const ParamUnit& u = store_.units()[unit];
  if (ctx_.dry_run || u.extent == 0) return;
  if (store_.sharding().shares(2)) zero_unreached(unit);
  const dist::Reduction how{dist::ReduceOp::Sum, options_.wire};
  sums_[unit] = store_.sharding().shares(1)
                    ? communicator_.reduce_scatter(u.grad, leaf(unit), how, ctx_.stream)
                    : communicator_.all_reduce(u.grad, how, ctx_.stream);
}

// What is left of other units, in the memory that they take turns in.
void Exchange::zero_unreached(std::size_t unit) {
  for (const TensorView& range : unwritten_[unit]) clear(range, ctx_.stream);
}

void Exchange::finish_sum(std::size_t unit) {
  if (!sums_[unit]) return;
  communicator_.wait(*sums_[unit], ctx_.stream);
  sums_[unit].reset();
  if (tree_) tree_->fold(ctx_, round_, at_[unit], leaf(unit), store_.units()[unit].own_grad);
}

void Exchange::end_round(bool had_work) {
  if (!had_work) idle_round();
  if (!every_round_ && round_ + 1 < options_.rounds) return;
  if (!store_.sharding().shares(2) && !ctx_.dry_run)
    store_.finish_grads(ctx_.stream);  // what nothing reached
  std::fill(missing_.begin(), missing_.end(), 0);
  reduce_complete();
  for (std::size_t unit = store_.units().size(); unit-- > 0;) finish_sum(unit);
}

// A process without a micro-batch in this round adds nothing, and takes part in what the others do, in the
// order in which they do it.
void Exchange::idle_round() {
  for (std::size_t unit = 0; unit < store_.units().size(); ++unit) before_unit(unit);
  if (!store_.sharding().shares(2)) {
    if (overwrites(round_)) store_.clear_grads();
    return;
  }
  for (std::size_t unit = store_.units().size(); unit-- > 0;) {
    const ParamUnit& u = store_.units()[unit];
    if (u.extent > 0 && !ctx_.dry_run) clear(u.grad, ctx_.stream);
    missing_[unit] = 0;
    if (reached_[unit] > 0) after_backward(unit);
    reduce_complete();
  }
}

void Exchange::share_values() {
  std::fill(in_slot_.begin(), in_slot_.end(), std::nullopt);
  if (!store_.sharding().shares(1) || store_.sharding().shares(3)) return;
  for (std::size_t unit = 0; unit < store_.units().size(); ++unit) gather_values(unit);
}

void Exchange::gather_values(std::size_t unit) {
  const ParamUnit& u = store_.units()[unit];
  if (u.extent > 0 && !ctx_.dry_run)
    values_[unit] = communicator_.all_gather(u.own_value, u.value, ctx_.stream);
}

// Into the unit's slot, unless they are there.
void Exchange::fetch_values(std::size_t unit) {
  std::optional<std::size_t>& holds = in_slot_[store_.units()[unit].slot];
  if (holds == unit) return;
  holds = unit;
  gather_values(unit);
}

void Exchange::before_unit(std::size_t unit) {
  if (store_.sharding().shares(3)) {
    fetch_values(unit);
    if (unit + 1 < store_.units().size()) fetch_values(unit + 1);  // where the unit before was
  }
  await_values(unit);
}

// The unit before it comes next, and the one before that may come to where this one was.
void Exchange::after_backward(std::size_t unit) {
  if (!store_.sharding().shares(3)) return;
  if (unit >= 1) fetch_values(unit - 1);
  if (unit >= 2) fetch_values(unit - 2);
  if (unit >= 1) await_values(unit - 1);
}

void Exchange::await_values(std::size_t unit) {
  if (!values_[unit]) return;
  communicator_.wait(*values_[unit], ctx_.stream);
  values_[unit].reset();
}

void Exchange::await_values() {
  for (std::size_t unit = 0; unit < values_.size(); ++unit) await_values(unit);
}

void Exchange::gather(const TensorView& mine, const TensorView& all) {
  if (!ctx_.dry_run) communicator_.wait(communicator_.all_gather(mine, all, ctx_.stream), ctx_.stream);
}

void Exchange::compare_replicas(std::uint64_t step) {
  if (size() == 1 || store_.sharding().shares(3)) return;
  await_values();
  std::vector<std::uint64_t> hashes;
  for (const ParamUnit& unit : store_.units()) {
    if (unit.extent == 0) continue;
    const HostTensor values(unit.value);
    hashes.push_back(io::xxh3({values.view().data, values.view().nbytes()}));
  }
  const std::uint64_t mine = io::xxh3(std::as_bytes(std::span(hashes)));
  const auto bytes = static_cast<std::int64_t>(sizeof(mine));
  const Tensor all({size() * bytes}, DType::U8, ctx_.device);
  const TensorView own = all.view.slice(0, rank() * bytes, (rank() + 1) * bytes);
  copy(own, TensorView(const_cast<std::uint64_t*>(&mine), {bytes}, DType::U8));
  gather(own, all.view);
  std::vector<std::uint64_t> found(static_cast<std::size_t>(size()));
  fetch(ctx_, found.data(), all.view.data, all.view.nbytes());
  std::map<std::uint64_t, std::vector<int>> same;
  for (int r = 0; r < size(); ++r) same[found[static_cast<std::size_t>(r)]].push_back(r);
  if (same.size() == 1) return;
  std::string groups;
  for (const auto& [_, ranks] : same) { groups += (groups.empty() ? "" : " against ") + dist::ranges(ranks); }
  fail(Exit::Failure,
       "step {}: the weights of processes that should hold the same differ: ranks {}. A machine computes or "
       "remembers wrongly; go on from the last checkpoint without it.",
       step, groups);
}

}  // namespace rt
