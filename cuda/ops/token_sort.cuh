#pragma once
#include "cuda/device.h"

// Positions sorted by token, equal tokens in the order of their positions: a stable radix sort by digits of
// kDigitBits, without atomics. Per digit one launch counts the digits of each tile of positions and one moves
// the tile's positions to their places.
namespace rt::cuda {

constexpr int kDigitBits = 6, kDigits = 1 << kDigitBits, kSortWarps = 8, kSortRounds = 8;
constexpr int kSortThreads = kSortWarps * 32, kSortTile = kSortThreads * kSortRounds;

struct SortItem {
  unsigned token, position;
};

// Item i before the first digit; a token outside [0, V) becomes V and is sorted behind all others.
__device__ __forceinline__ SortItem item_at(const std::int32_t* tokens, const SortItem* items, std::int64_t i,
                                            unsigned V) {
  if (!tokens) return items[i];
  const unsigned token = static_cast<unsigned>(tokens[i]);
  return {token < V ? token : V, static_cast<unsigned>(i)};
}

// A warp's items are consecutive: item (round, lane) is first + round * 32 + lane.
struct TileRanks {
  SortItem item[kSortRounds];
  int digit[kSortRounds];  // kDigits where there is no item
  int rank[kSortRounds];   // among the warp's items with this digit
};

// Fills `ranks`, and counts[warp][digit] for the block's tile. Called by the whole block.
__device__ __forceinline__ void rank_tile(const std::int32_t* tokens, const SortItem* items, std::int64_t n,
                                          unsigned V, int shift, int (*counts)[kDigits], TileRanks& ranks) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t first =
      static_cast<std::int64_t>(blockIdx.x) * kSortTile + warp * (kSortTile / kSortWarps);
  for (int d = lane; d < kDigits; d += 32) counts[warp][d] = 0;
#pragma unroll
  for (int r = 0; r < kSortRounds; ++r) {
    const std::int64_t i = first + r * 32 + lane;
    ranks.item[r] = i < n ? item_at(tokens, items, i, V) : SortItem{0, 0};
    ranks.digit[r] = i < n ? static_cast<int>(ranks.item[r].token >> shift) % kDigits : kDigits;
  }
  __syncwarp();
#pragma unroll
  for (int r = 0; r < kSortRounds; ++r) {
    const bool there = ranks.digit[r] < kDigits;
    unsigned same = __ballot_sync(kFullMask, there);  // lanes with this lane's digit
    for (int bit = 0; bit < kDigitBits; ++bit) {
      const bool set = (ranks.digit[r] >> bit & 1) != 0;
      const unsigned with = __ballot_sync(kFullMask, set);
      same &= set ? with : ~with;
    }
    const int before = __popc(same & ((1u << lane) - 1));
    const int so_far = there ? counts[warp][ranks.digit[r]] : 0;
    ranks.rank[r] = so_far + before;
    __syncwarp();
    if (there && before == 0) counts[warp][ranks.digit[r]] = so_far + __popc(same);
    __syncwarp();
  }
  __syncthreads();
}

// tile_counts (tiles, kDigits). Exactly one of tokens and items is given.
template <class Count>
__global__ void __launch_bounds__(kSortThreads)
    token_sort_count_kernel(const std::int32_t* tokens, const SortItem* items, std::int64_t n, unsigned V,
                            int shift, Count* tile_counts) {
  RT_SHARED(int, counts, [kSortWarps][kDigits]);
  TileRanks ranks;
  rank_tile(tokens, items, n, V, shift, counts, ranks);
  if (threadIdx.x >= kDigits) return;
  int total = 0;
  for (int w = 0; w < kSortWarps; ++w) total += counts[w][threadIdx.x];
  tile_counts[static_cast<std::int64_t>(blockIdx.x) * kDigits + threadIdx.x] = static_cast<Count>(total);
}

// Leaves in start[digit] where the tile's items with this digit begin in the output.
template <class Count>
__device__ __forceinline__ void tile_starts(const Count* tile_counts, unsigned* start) {
  constexpr int kGroups = kSortThreads / kDigits;
  RT_SHARED(unsigned, all, [kGroups][kDigits]);
  RT_SHARED(unsigned, earlier, [kGroups][kDigits]);
  const int digit = static_cast<int>(threadIdx.x) % kDigits, group = static_cast<int>(threadIdx.x) / kDigits;
  unsigned total = 0, before = 0;
  for (unsigned tile = static_cast<unsigned>(group); tile < gridDim.x; tile += kGroups) {
    const unsigned count = tile_counts[static_cast<std::int64_t>(tile) * kDigits + digit];
    total += count;
    if (tile < blockIdx.x) before += count;
  }
  all[group][digit] = total;
  earlier[group][digit] = before;
  __syncthreads();
  if (threadIdx.x < kDigits) {
    unsigned sum = 0;
    for (int d = 0; d < digit; ++d) {
      for (int g = 0; g < kGroups; ++g) sum += all[g][d];
    }
    for (int g = 0; g < kGroups; ++g) sum += earlier[g][digit];
    start[digit] = sum;
  }
  __syncthreads();
}

template <class Count>
__global__ void __launch_bounds__(kSortThreads)
    token_sort_move_kernel(const std::int32_t* tokens, const SortItem* items, std::int64_t n, unsigned V,
                           int shift, const Count* tile_counts, SortItem* out) {
  RT_SHARED(int, counts, [kSortWarps][kDigits]);
  RT_SHARED(unsigned, start, [kDigits]);
  TileRanks ranks;
  rank_tile(tokens, items, n, V, shift, counts, ranks);
  tile_starts(tile_counts, start);
  if (threadIdx.x < kDigits) {  // each warp's own start
    unsigned at = start[threadIdx.x];
    for (int w = 0; w < kSortWarps; ++w) {
      const auto count = static_cast<unsigned>(counts[w][threadIdx.x]);
      counts[w][threadIdx.x] = static_cast<int>(at);
      at += count;
    }
  }
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int r = 0; r < kSortRounds; ++r) {
    if (ranks.digit[r] == kDigits) continue;
    const auto at =
        static_cast<unsigned>(counts[warp][ranks.digit[r]]) + static_cast<unsigned>(ranks.rank[r]);
    out[at] = ranks.item[r];
  }
}

// start (V + 1): where each token's items begin among the n sorted ones; they end where the next token's
// begin.
template <class Index>
__global__ void token_start_kernel(const SortItem* sorted, Index n, unsigned V, Index* start) {
  const unsigned token = blockIdx.x * blockDim.x + threadIdx.x;
  if (token > V) return;
  Index low = 0, high = n;
  while (low < high) {
    const Index middle = low + (high - low) / 2;
    if (sorted[middle].token < token) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  start[token] = low;
}

}  // namespace rt::cuda
