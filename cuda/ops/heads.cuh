#pragma once
#include "cuda/ops/ahead.cuh"
#include "cuda/ops/column_sums.cuh"

// Work on heads of N channels, N a multiple of 16: a head lies in a group of lanes with kHeadPiece channels
// each, so that its sums are a few shuffles, and a warp holds as many heads as it has groups.
namespace rt::cuda {

inline constexpr int kHeadPiece = 8, kHeadWarps = 8, kHeadThreads = kHeadWarps * 32;
inline constexpr int kMaxHeadTile = 32 * kHeadPiece;  // channels of a warp, hence the largest head

struct HeadTiles {
  std::int64_t C;
  int N, lanes, heads;  // lanes of a group: a power of two; heads (groups) of a warp

  HeadTiles(const char* op, std::int64_t width, std::int64_t head_size)
      : C(width), N(static_cast<int>(head_size)), lanes(2), heads(0) {
    RT_CHECK(head_size <= kMaxHeadTile, "{}: head_size is {}; CUDA takes at most {}", op, head_size,
             kMaxHeadTile);
    while (lanes * kHeadPiece < N) lanes *= 2;
    heads = 32 / lanes;
  }
  unsigned count() const { return static_cast<unsigned>((C + heads * N - 1) / (heads * N)); }
};

// Where a lane stands in tile blockIdx.y.
struct HeadLane {
  std::int64_t column;  // its first channel
  int in_tile;          // the same, counted from the tile's first
  int columns;          // channels of the tile
  std::int64_t left;    // 0 for a lane with no channels, else kHeadPiece
  std::int64_t head;

  __device__ explicit HeadLane(const HeadTiles& tiles) {
    const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / tiles.lanes;
    const int within = lane % tiles.lanes * kHeadPiece, width = tiles.heads * tiles.N;
    const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * width;
    in_tile = group * tiles.N + within;
    column = first + in_tile;
    columns = static_cast<int>(tiles.C - first < width ? tiles.C - first : width);
    left = within < tiles.N && column < tiles.C ? kHeadPiece : 0;
    head = static_cast<std::int64_t>(blockIdx.y) * tiles.heads + group;
  }
};

// Over the lanes of a group, for all groups of a full warp at once; every lane has its group's sum.
__device__ __forceinline__ float group_sum(float x, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kFullMask, x, offset);
  return x;
}

// The lane's channels of N tensors (rows, C), the next row while one is worked on. A tensor that is null is
// zeros.
template <class T, bool Aligned, int N>
class HeadRows {
 public:
  using In = Reader<T, kHeadPiece, Aligned, N, kAhead<T>>;
  static constexpr std::size_t kSmem = smem_bytes<uint4>(kHeadWarps * In::kRing);  // of a block

  __device__ __forceinline__ HeadRows(const T* const (&from)[N], const HeadLane& at, Smem& smem)
      : at_(at), in_(smem.take<uint4>(kHeadWarps * In::kRing) + threadIdx.x / 32 * In::kRing) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
      from_[n] = from[n];
      if (!from[n] || at.left <= 0) in_.clear(n);
    }
  }
  // Of the row that begins at element i; `there`: it exists.
  __device__ __forceinline__ void start(std::int64_t i, bool there) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
      if (there && from_[n] && at_.left > 0) in_.start(n, from_[n] + i + at_.column);
    }
    in_.commit();
  }
  __device__ __forceinline__ void next() { in_.next(); }
  __device__ __forceinline__ void get(int n, std::int64_t i, float (&v)[kHeadPiece]) const {
    Piece<T, kHeadPiece, Aligned> piece;
    in_.get(n, from_[n] + i + at_.column, from_[n] ? at_.left : 0, piece);
    piece.get(v);
  }

 private:
  const T* from_[N];
  const HeadLane& at_;
  In in_;
};

// A block's warps are strips of rows of one tile. Adds the strips' sums of the tile's columns in order and
// leaves them in out (C); called by the whole block.
__device__ __forceinline__ void fold_heads(const HeadLane& at, const float (&sum)[kHeadPiece], float* out) {
  RT_SHARED(float, sums, [kHeadWarps][kMaxHeadTile]);
  float* mine = &sums[threadIdx.x / 32][at.in_tile];
  if (at.left > 0) store8(mine, sum);
  fold_strips(&sums[0][0], kHeadWarps, kMaxHeadTile, at.columns, out + (at.column - at.in_tile));
}

}  // namespace rt::cuda
