#include "rt/train/exchange.h"

#include <map>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/io/file.h"

namespace rt {

Exchange::Exchange(ExecContext& ctx, ParamStore& store, dist::Communicator& communicator,
                   const Options& options)
    : ctx_(ctx), store_(store), communicator_(communicator), options_(options) {
  const bool shared_out = store.sharding().shares(2);
  every_round_ = options.rounds > 1 && (options.deterministic || shared_out);
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
  }
  missing_.resize(units.size());
  sums_.resize(units.size());
  values_.resize(units.size());
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
  std::fill(missing_.begin(), missing_.end(), 0);
  for (const Parameter* p : store_.parameters())
    if (p->trainable) ++missing_[p->unit];
}

void Exchange::gradient_done(const Parameter& parameter) {
  if (!every_round_ && round_ + 1 < options_.rounds) return;
  --missing_[parameter.unit];
  reduce_complete();
}

// In the same order in every process, whatever each has computed: from the last unit to the first, as
// backward comes to them.
void Exchange::reduce_complete() {
  while (next_ > 0 && missing_[next_ - 1] == 0) reduce(--next_);
}

void Exchange::reduce(std::size_t unit) {
  const ParamUnit& u = store_.units()[unit];
  if (ctx_.dry_run || u.extent == 0) return;
  const dist::Reduction how{dist::ReduceOp::Sum, options_.wire};
  sums_[unit] = store_.sharding().shares(1)
                    ? communicator_.reduce_scatter(u.grad, leaf(unit), how, ctx_.stream)
                    : communicator_.all_reduce(u.grad, how, ctx_.stream);
}

void Exchange::end_round(bool had_work) {
  const bool last = round_ + 1 == options_.rounds;
  if (!every_round_ && !last) return;
  if (!had_work && overwrites(round_)) store_.clear_grads();
  if (!ctx_.dry_run) store_.finish_grads(ctx_.stream);  // what nothing reached
  std::fill(missing_.begin(), missing_.end(), 0);
  reduce_complete();
  for (std::size_t unit = store_.units().size(); unit-- > 0;) {
    if (sums_[unit]) communicator_.wait(*sums_[unit], ctx_.stream);
    sums_[unit].reset();
    const ParamUnit& u = store_.units()[unit];
    if (tree_ && u.extent > 0) tree_->fold(ctx_, round_, at_[unit], leaf(unit), u.own_grad);
  }
}

void Exchange::share_values() {
  if (!store_.sharding().shares(1) || store_.sharding().shares(3) || ctx_.dry_run) return;
  for (std::size_t unit = 0; unit < store_.units().size(); ++unit) {
    const ParamUnit& u = store_.units()[unit];
    if (u.extent > 0) values_[unit] = communicator_.all_gather(u.own_value, u.value, ctx_.stream);
  }
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
  for (const auto& [_, ranks] : same) {
    groups += groups.empty() ? "" : " against ";
    for (std::size_t i = 0; i < ranks.size(); ++i) groups += (i ? ", " : "") + std::to_string(ranks[i]);
  }
  fail(Exit::Failure,
       "step {}: the weights of processes that should hold the same differ: ranks {}. A machine computes or "
       "remembers wrongly; go on from the last checkpoint without it.",
       step, groups);
}

}  // namespace rt
