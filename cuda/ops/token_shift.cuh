#pragma once
#include "cuda/ops/column_sums.cuh"
#include "rt/ops/token_shift.h"

// Channels do not see each other. A warp walks a strip of rows of one sequence, each lane with one piece of
// the width, keeps in registers what goes from one row to its neighbour, and has the next rows under way
// while it works on one.
namespace rt::cuda::token_shift {

constexpr int kStrips = 4, kThreads = kStrips * 32;

// Elements of a lane: 16 bytes where they can be read at once, narrow otherwise, for want of registers.
template <class T, bool Aligned>
constexpr int kWidth = Aligned ? 16 / static_cast<int>(sizeof(T)) : 2;

// A kernel is for exactly 1 mix, as in channel mixing, or 6, as in the time mixing of RWKV-7, all of whose
// outputs have gradients; or for any number, with checks that cost time.
template <int Max>
constexpr bool kAny = Max == static_cast<int>(kMaxTokenShifts);

template <class T>
struct Inputs {
  const T* x;
  const T* mix[kMaxTokenShifts];
  const T* shift_state;       // null: zeros
  const std::uint8_t* reset;  // null: none
  RowBlocks blocks;
  int count;

  __device__ bool is_reset(std::int64_t row) const { return reset && reset[row] != 0; }
  template <int Max>
  __device__ bool has(int n) const {
    return !kAny<Max> || n < count;
  }
};

template <class T>
Inputs<T> inputs(const TokenShiftArgs& a, const RowBlocks& blocks) {
  Inputs<T> in{device_ptr<T>(a.x),
               {},
               device_ptr<T>(a.shift_state),
               a.reset ? a.reset.as<std::uint8_t>() : nullptr,
               blocks,
               static_cast<int>(a.count)};
  for (std::size_t n = 0; n < a.count; ++n) in.mix[n] = device_ptr<T>(a.mix[n]);
  return in;
}

// A warp's rows [first, end) and a lane's channels.
struct Strip {
  std::int64_t first, end, column, left, sequence;
  __device__ Strip(const RowBlocks& blocks, const RowBlock& rows, int width) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const std::int64_t strip = blocks.size / kStrips;
    first = rows.first + warp * strip;
    end = first + strip < rows.end ? first + strip : rows.end;
    column = (static_cast<std::int64_t>(blockIdx.y) * 32 + lane) * width;
    left = blocks.C - column;
    sequence = rows.begin / blocks.T;
  }
};

// Where that lies which comes before `row`: the row above, or the state; null for zeros.
template <class T>
__device__ __forceinline__ const T* before_row(const Inputs<T>& in, const RowBlock& rows, const Strip& at,
                                               std::int64_t row) {
  if (row > rows.begin) return in.x + (row - 1) * in.blocks.C + at.column;
  return in.shift_state ? in.shift_state + at.sequence * in.blocks.C + at.column : nullptr;
}

template <class T, bool Aligned>
dim3 grid_of(const RowBlocks& blocks) {
  constexpr int kTile = 32 * kWidth<T, Aligned>;
  return dim3(static_cast<unsigned>(blocks.count()), static_cast<unsigned>((blocks.C + kTile - 1) / kTile));
}

// Calls g(std::integral_constant<int, Max>{}) for `count` mixes, of which all are there or not.
template <class G>
void dispatch_count(std::size_t count, bool all, const G& g) {
  if (count == 1 && all) return g(std::integral_constant<int, 1>{});
  if (count == 6 && all) return g(std::integral_constant<int, 6>{});
  g(std::integral_constant<int, static_cast<int>(kMaxTokenShifts)>{});
}

inline bool aligned_inputs(const TokenShiftArgs& a) {
  bool aligned = a.x.shape[2] % 8 == 0 && all_aligned({&a.x, &a.shift_state});
  for (std::size_t n = 0; n < a.count; ++n) aligned = aligned && all_aligned({&a.mix[n]});
  return aligned;
}

}  // namespace rt::cuda::token_shift
