#pragma once
#include "cuda/ops/piece.cuh"

namespace rt::cuda {

// Rows ahead of which there is room for many tensors: none in f32.
template <class T>
constexpr int kAhead = sizeof(T) == 2 ? 1 : 0;

// What a lane reads row by row, `Pieces` pieces a row. Aligned pieces are copied to the lane's own part of
// shared memory while the rows before are worked on, so that the bytes under way do not depend on how many
// registers there are; others are read where they are used. For each row, the first Ahead of them in advance:
// start() what there is to read of it, commit(); then for each row: the same for the row that comes Ahead
// later, next(), get().
template <class T, int N, bool Aligned, int Pieces, int Ahead>
class Reader {
 public:
  static constexpr int kCount = static_cast<int>(N * sizeof(T) / 16);  // copies of a piece
  static_assert(!Aligned || N * sizeof(T) % 16 == 0);
  static constexpr int kRing = Aligned ? (Ahead + 1) * Pieces * kCount * 32 : 0;  // of a warp

  __device__ __forceinline__ explicit Reader(uint4* ring_of_warp) : mine_(ring_of_warp + threadIdx.x % 32) {}

  __device__ __forceinline__ void start(int piece, const T* from) {
    if constexpr (Aligned) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) cp_async16(place(filled_, piece, i), from + i * (N / kCount));
    }
  }
  __device__ __forceinline__ void commit() {
    if constexpr (Aligned) cp_async_commit();
    filled_ = filled_ == Ahead ? 0 : filled_ + 1;
  }
  __device__ __forceinline__ void next() {
    if constexpr (Aligned) cp_async_wait<Ahead>();
    used_ = used_ == Ahead ? 0 : used_ + 1;
  }
  // A piece that was started, from the same address. For any row, what clear() was called for.
  __device__ __forceinline__ void get(int piece, const T* from, std::int64_t left,
                                      Piece<T, N, Aligned>& out) const {
    if constexpr (Aligned) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) out.raw[i] = *place(used_, piece, i);
    } else {
      out.load(from, left);
    }
  }
  // The piece is zero in all rows, and never started.
  __device__ __forceinline__ void clear(int piece) {
    if constexpr (Aligned) {
#pragma unroll
      for (int k = 0; k < (Ahead + 1) * kCount; ++k) *place(k / kCount, piece, k % kCount) = uint4{};
    }
  }

 private:
  __device__ __forceinline__ uint4* place(int slot, int piece, int i) const {
    return mine_ + ((slot * Pieces + piece) * kCount + i) * 32;
  }

  uint4* mine_;
  int filled_ = 0, used_ = Ahead;  // slots: of the row being started, of the row in use
};

}  // namespace rt::cuda
