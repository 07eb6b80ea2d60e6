#pragma once
#include <cstdint>
#include <vector>

#include "rt/core/dtype.h"

// Small kernels that the emulation is tested with, each as a function of the host. A Fault is a mistake built
// into one of them.
namespace rt::cuda::testing {

enum class Fault {
  None,
  // Synchronisation that is left out.
  NoBarrierInReduction,
  ScratchReused,
  NoWaitForCopies,
  NoBarrierAfterWait,
  NoBarrierBeforeRefill,
  NoBarrierBeforeStage,
  NoBarrierBeforeConsumers,
  NoBarrierBeforeNextRound,
  NoSyncwarp,
  NeverWritten,
  // Stopped with an error.
  HalfWarpMma,
  DivergentBarrier,
  DifferentBarriers,
  LaneSkipsShuffle,
  LanesDisagree,
  LaneOutsideMask,
  MaskNamesReturned,
  WarpTooSmall,
  Deadlock,
  ReturnBeforeBarrier,
  BarrierAfterReturn,
  CopyNotWaitedFor,
  CopyToGlobal,
  CopyMisaligned,
  RowMisaligned,
  VectorMisaligned,
  TakesDiffer,
  TakesTooMuch,
  StaticTooLarge,
  OverrunStatic,
  OverrunDynamic,
  UnderrunStatic,
  Trap,
  Throws,
};

// y (rows, C) = (x - mean) / sqrt(var + 1e-5), C = 256, one block of 64 threads per row.
std::vector<bf16> layer_norm(const std::vector<bf16>& x, Fault fault = Fault::None);
constexpr std::int64_t kNormWidth = 256;

// (M, N) = a (M, K) b (K, N); K and N are multiples of 32.
std::vector<float> gemm(const std::vector<bf16>& a, const std::vector<bf16>& b, std::int64_t M,
                        std::int64_t N, std::int64_t K, Fault fault = Fault::None);

// (16, 8) = a (16, 8) b (8, 8) in tf32.
std::vector<float> gemm_tf32(const std::vector<float>& a, const std::vector<float>& b);

// (cols, rows) of (rows, cols), both multiples of 8.
std::vector<bf16> transpose(const std::vector<bf16>& x, std::int64_t rows, std::int64_t cols);

// Kernels of 64 threads whose warps, or lanes, hand each other numbers through shared memory. 64 values.
std::vector<float> hand_over(Fault fault = Fault::None);

// Block b of 9 adds 1 to what block b - 1 wrote, as if blocks ran in order. 9 values.
std::vector<float> chain_of_blocks();

// An empty grid, 1025 threads, more shared memory than a block can have, a launch from a kernel.
enum class BadLaunch { EmptyGrid, TooManyThreads, TooMuchShared, Nested };
void launch_badly(BadLaunch how);

// One block of 64 threads that does nothing but what the fault says.
void misuse(Fault fault);

// What the votes, shuffles and barrier reductions give to each of 40 threads, one row per operation.
std::vector<std::int64_t> warp_operations(int& operations);

// y = x through load_vec and store_vec of N elements, a tail included, from T to float and back.
std::vector<float> copy_float(const std::vector<float>& x, int N);
std::vector<bf16> copy_bf16(const std::vector<bf16>& x, int N);

// Sums x in f64: each block a part, and the last block that finishes all parts in order.
double sum_by_last_block(const std::vector<float>& x);

// Block and thread indices of a grid (2, 3, 2) of blocks (3, 2, 2), flattened by themselves: 0, 1, 2, ...
std::vector<int> flat_indices();

}  // namespace rt::cuda::testing
