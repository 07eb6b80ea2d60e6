#pragma once
#include <vector>

#include "rt/core/buffer.h"
#include "rt/core/exec.h"

namespace rt {

// Sums what a step's rounds leave, one micro-batch of each process in each, in an order that the number of
// processes does not change: micro-batch g of all is a leaf, round r of a world of W has leaves r W and those
// after it, whose sum comes from the communicator as that of a binary tree; here the tree goes on, up to
// blocks of kLeaves, and blocks are added one after the other. So worlds of 1, 2, 4 and 8 come to the same
// bits, where they divide the number of micro-batches.
class GradientTree {
 public:
  static constexpr int kLeaves = 8;

  // For `n` elements. `in_place`: the result's memory is that of the leaves, written again in every round. A
  // dry run of ctx counts memory.
  GradientTree(ExecContext& ctx, std::int64_t n, int rounds, int world, bool in_place);
  // Elements [at, at + leaf's) of round `round`; rounds of the same elements come in order. After the last
  // one `result` has their sum; it may be `leaf`.
  void fold(ExecContext& ctx, int round, std::int64_t at, const TensorView& leaf, const TensorView& result);
  std::size_t device_bytes() const;

 private:
  int rounds_, block_;           // rounds of a step, and of a block
  std::vector<Tensor> pending_;  // (n) sums of 2^level rounds of the block under way
  Tensor blocks_;                // (n) of the blocks that are complete; empty where `result` can hold it
};

}  // namespace rt
