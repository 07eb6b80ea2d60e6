#include "rt/train/gradient_tree.h"

#include <algorithm>

#include "rt/core/host.h"
#include "rt/ops/add.h"

namespace rt {
namespace {

void sum(ExecContext& ctx, const TensorView& out, const TensorView& a, const TensorView& b) {
  if (!ctx.dry_run) add_table().at(ctx.impl).forward(ctx, {a, b}, {out});
}

}  // namespace

GradientTree::GradientTree(ExecContext& ctx, std::int64_t n, int rounds, int world, bool in_place)
    : rounds_(rounds), block_(std::max(1, kLeaves / world)) {
  for (int held = 1; held < std::min(rounds_, block_); held *= 2)
    pending_.push_back(lasting(ctx, {n}, accum_dtype(ctx)));
  if (in_place && rounds_ > block_) blocks_ = lasting(ctx, {n}, accum_dtype(ctx));
}

void GradientTree::fold(ExecContext& ctx, int round, std::int64_t at, const TensorView& leaf,
                        const TensorView& result) {
  const auto part = [&](const Tensor& of) { return of.view.slice(0, at, at + leaf.numel()); };
  const int index = round % block_;
  const bool last = round + 1 == rounds_, block_ends = index + 1 == block_ || last;
  TensorView sum_so_far = leaf;
  int level = 0;
  // Two sums of equal size become one of the next level, as a counter carries.
  for (int i = index; i % 2 == 1; i /= 2, ++level) {
    const bool goes_on = (i / 2) % 2 == 1 || block_ends;
    const TensorView out = goes_on ? part(pending_[static_cast<std::size_t>(level)])
                                   : part(pending_[static_cast<std::size_t>(level + 1)]);
    sum(ctx, out, part(pending_[static_cast<std::size_t>(level)]), sum_so_far);
    sum_so_far = out;
  }
  if (!block_ends) {
    if (level == 0 && !ctx.dry_run) copy(part(pending_[0]), leaf, ctx.stream);
    return;
  }
  // What is left of a block that is not full, from the smaller sums to the larger ones.
  for (int i = (index >> level) / 2; i > 0; i /= 2) {
    ++level;
    if (i % 2 == 0) continue;
    const TensorView out = part(pending_[static_cast<std::size_t>(level)]);
    sum(ctx, out, out, sum_so_far);
    sum_so_far = out;
  }
  const bool first_block = round < block_;
  const TensorView held = blocks_.view ? part(blocks_) : result, to = last ? result : held;
  if (!first_block) return sum(ctx, to, held, sum_so_far);
  if (sum_so_far.data != to.data && !ctx.dry_run) copy(to, sum_so_far, ctx.stream);
}

std::size_t GradientTree::device_bytes() const {
  std::size_t bytes = blocks_.view ? blocks_.view.nbytes() : 0;
  for (const Tensor& t : pending_) bytes += t.view.nbytes();
  return bytes;
}

}  // namespace rt
