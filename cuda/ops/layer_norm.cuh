#pragma once
#include "cuda/core/reduce.cuh"
#include "cuda/ops/ahead.cuh"
#include "cuda/ops/column_sums.cuh"
#include "rt/ops/layer_norm.h"

// A row is worked on by a team of warps, each thread of which has a few pieces of 8. Teams of one warp share
// a block and go their own ways; a larger team is a block, and its sums go through shared memory. The next
// row is under way while a team works on one.
namespace rt::cuda::layer_norm {

constexpr int kPiece = 8, kLoneWarps = 4, kMaxPieces = 4;
constexpr std::int64_t kMaxWidth = 8192;

// Pieces that are not aligned lie in registers one element each, so there are few.
template <bool Aligned>
constexpr int kMaxTeam = static_cast<int>(kMaxWidth) / (32 * kPiece * (Aligned ? kMaxPieces : 2));

struct Cut {
  int pieces, team;  // of a thread; warps

  Cut(std::int64_t C, bool aligned) {
    RT_CHECK(C <= kMaxWidth, "layer_norm: rows of {}; CUDA takes at most {}", C, kMaxWidth);
    const int warps = static_cast<int>((C + 32 * kPiece - 1) / (32 * kPiece)),
              most = aligned ? kMaxPieces : 2;
    team = (warps + most - 1) / most;
    pieces = std::max(2, (warps + team - 1) / team);
  }
  dim3 block() const { return dim3(static_cast<unsigned>(32 * (team == 1 ? kLoneWarps : team))); }
};

// Where a thread stands: its team among the block's, its first column.
struct Place {
  int team, teams;
  std::int64_t column, stride;

  __device__ explicit Place(int warps) {
    const int thread = static_cast<int>(threadIdx.x);
    team = warps == 1 ? thread / 32 : 0;
    teams = warps == 1 ? kLoneWarps : 1;
    column = (warps == 1 ? thread % 32 : thread) * kPiece;
    stride = static_cast<std::int64_t>(warps) * 32 * kPiece;
  }
  // The first column of piece j; past the row there is none.
  __device__ __forceinline__ std::int64_t at(int j) const { return column + j * stride; }
};

// Sums over the threads of a team. `found` is for this call; it may be used again after the next call with
// another one.
template <int K>
__device__ __forceinline__ void team_sum(float (&x)[K], int warps, float (*found)[K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) x[k] = warp_sum(x[k]);
  if (warps == 1) return;  // the whole block
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int k = 0; k < K; ++k) found[threadIdx.x / 32][k] = x[k];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    x[k] = found[0][k];
    for (int w = 1; w < warps; ++w) x[k] += found[w][k];
  }
}

// Calls g(T*{}, std::integral_constant<int, pieces>{}, std::bool_constant<aligned>{}).
template <class G>
void dispatch(DType dtype, const Cut& cut, bool aligned, const G& g) {
  dispatch_rows(dtype, aligned, [&]<class T, bool Aligned>(T* type, std::bool_constant<Aligned> is) {
    if constexpr (Aligned) {
      if (cut.pieces == 4) return g(type, std::integral_constant<int, 4>{}, is);
      if (cut.pieces == 3) return g(type, std::integral_constant<int, 3>{}, is);
    }
    g(type, std::integral_constant<int, 2>{}, is);
  });
}

// Of x = a.x + b, which goes to `sum`, when b is there, else of a.x.
void forward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o, const TensorView& b,
             const TensorView& sum);
// The gradient of a.x, to which `more` is added when it is there, goes to both slots, which may be one. Their
// memory may be that of `more`.
void backward(ExecContext& ctx, const LayerNormArgs& a, const LayerNormOuts& o, const TensorView& dy,
              const TensorView& more, const GradSlot& first, const GradSlot& second, const GradSlot& weight,
              const GradSlot& bias);

}  // namespace rt::cuda::layer_norm
