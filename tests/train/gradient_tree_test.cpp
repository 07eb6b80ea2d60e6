#include "rt/train/gradient_tree.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rt/core/rng.h"

namespace rt {
namespace {

constexpr std::int64_t kN = 37;

// What micro-batch `g` of a step finds: numbers whose sum depends on its order.
std::vector<float> found(int g) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < kN; ++i) {
    const double u = Rng{5, static_cast<std::uint64_t>(g)}.uniform(static_cast<std::uint64_t>(i));
    values.push_back(static_cast<float>((u - 0.5) * std::pow(10.0, (g * 7 + i) % 6)));
  }
  return values;
}

using Values = std::vector<float>;

Values sum(const Values& a, const Values& b) {
  Values all;
  for (std::size_t i = 0; i < a.size(); ++i) all.push_back(a[i] + b[i]);
  return all;
}

// Micro-batches [lo, hi) as a binary tree whose left part is the largest power of two.
Values tree(int lo, int hi) {
  if (hi - lo == 1) return found(lo);
  int half = 1;
  while (2 * half < hi - lo) half *= 2;
  return sum(tree(lo, lo + half), tree(lo + half, hi));
}

// As the header says: blocks of kLeaves one after the other.
Values expected(int all) {
  Values total;
  for (int lo = 0; lo < all; lo += GradientTree::kLeaves) {
    const Values block = tree(lo, std::min(all, lo + GradientTree::kLeaves));
    total = lo == 0 ? block : sum(total, block);
  }
  return total;
}

// Of a world whose communicator sums each round's leaves. In two pieces, as units are.
Values folded(int all, int world, bool in_place) {
  Workspace space(Device::cpu(), Impl::Cpu, 0, 0, 0);
  const int rounds = all / world;
  GradientTree sums(space.ctx(), kN, rounds, world, in_place);
  const Tensor leaves({kN}, DType::F32), result({kN}, DType::F32);
  const TensorView to = in_place ? leaves.view : result.view;
  for (int round = 0; round < rounds; ++round) {
    const Values leaf = tree(round * world, (round + 1) * world);
    std::copy(leaf.begin(), leaf.end(), leaves.view.as<float>());
    for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{20, kN}, {0, 20}})
      sums.fold(space.ctx(), round, begin, leaves.view.slice(0, begin, end), to.slice(0, begin, end));
  }
  return {to.as<float>(), to.as<float>() + kN};
}

TEST(GradientTree, WorldsThatDivideTheMicroBatchesComeToTheSameBits) {
  for (const int world : {1, 2, 4, 8}) {
    for (int all = world; all <= 40; all += world) {
      for (const bool in_place : {true, false}) {
        EXPECT_EQ(folded(all, world, in_place), expected(all)) << all << " among " << world << in_place;
      }
    }
  }
}

TEST(GradientTree, HoldsNoMoreThanItNeeds) {
  Workspace space(Device::cpu(), Impl::Cpu, 0, 0, 0);
  const auto held = [&](int rounds, int world, bool in_place) {
    return GradientTree(space.ctx(), kN, rounds, world, in_place).device_bytes() / (kN * sizeof(float));
  };
  EXPECT_EQ(held(1, 1, true), 0u);
  EXPECT_EQ(held(2, 1, true), 1u);
  EXPECT_EQ(held(8, 1, true), 3u);
  EXPECT_EQ(held(16, 1, true), 4u);  // and the blocks so far
  EXPECT_EQ(held(16, 1, false), 3u);
  EXPECT_EQ(held(16, 8, true), 1u);
  EXPECT_EQ(held(16, 8, false), 0u);
  Workspace plan(Device::cpu(), Impl::Cpu);
  EXPECT_EQ(GradientTree(plan.ctx(), kN, 16, 1, true).device_bytes(), 4 * kN * sizeof(float));
}

}  // namespace
}  // namespace rt
