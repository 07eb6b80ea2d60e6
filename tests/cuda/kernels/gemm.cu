#include "cuda/core/vec.cuh"
#include "tests/cuda/kernels.h"

namespace rt::cuda::testing {
namespace {

using Half = __nv_bfloat16;

// Tiles of 32 x 32, four warps with a quarter each. Rows of shared tiles are padded by 16 bytes.
constexpr int kTile = 32, kThreads = 128, kLd = kTile + 8, kStageLd = kTile + 4;

// One chunk of 8 elements per thread; rows from `rows` on are zero.
__device__ void load_tile(Half* tile, const Half* from, std::int64_t ld, std::int64_t rows) {
  const int row = static_cast<int>(threadIdx.x) / 4, col = static_cast<int>(threadIdx.x) % 4 * 8;
  const bool valid = row < rows;
  cp_async16_or_zero(tile + row * kLd + col, from + (valid ? row * ld + col : 0), valid);
}

template <Fault F>
__device__ void multiply_tiles(const Half* a, const Half* b, float (&c)[2][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize,
            warp = static_cast<int>(threadIdx.x) / kWarpSize;
  for (int k = 0; k < kTile; k += 16) {
    unsigned af[4], bf[4];
    ldmatrix_x4<false>(af, a + (warp / 2 * 16 + lane % 16) * kLd + k + lane / 16 * 8);
    ldmatrix_x4<true>(bf, b + (k + lane % 16) * kLd + warp % 2 * 16 + lane / 16 * 8);
    if (F != Fault::HalfWarpMma || lane < 16) {
      mma_m16n8k16_bf16(c[0], af, bf[0], bf[1]);
      mma_m16n8k16_bf16(c[1], af, bf[2], bf[3]);
    }
  }
}

template <Fault F>
__global__ void __launch_bounds__(kThreads)
    gemm_kernel(const Half* a, const Half* b, float* out, std::int64_t M, std::int64_t N, std::int64_t K) {
  Smem sm;
  Half* const as = sm.take<Half>(2 * kTile * kLd);
  Half* const bs = sm.take<Half>(2 * kTile * kLd);
  RT_SHARED(float, stage, [kTile][kStageLd]);
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * kTile, col = blockIdx.x * kTile;
  const auto load = [&](std::int64_t tile) {
    const int buffer = static_cast<int>(tile % 2) * kTile * kLd;
    load_tile(as + buffer, a + row * K + tile * kTile, K, M - row);
    load_tile(bs + buffer, b + tile * kTile * N + col, N, kTile);
  };
  float c[2][4] = {};
  load(0);
  cp_async_commit();
  for (std::int64_t tile = 0; tile < K / kTile; ++tile) {
    if (tile + 1 < K / kTile) load(tile + 1);
    cp_async_commit();
    if (F != Fault::NoWaitForCopies) cp_async_wait<1>();
    if (F != Fault::NoBarrierAfterWait) __syncthreads();
    const int buffer = static_cast<int>(tile % 2) * kTile * kLd;
    multiply_tiles<F>(as + buffer, bs + buffer, c);
    if (F != Fault::NoBarrierBeforeRefill) __syncthreads();
  }
  cp_async_wait<0>();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize, warp = thread / kWarpSize;
  for (int i = 0; i < 8; ++i) {
    const int m = warp / 2 * 16 + lane / 4 + i / 2 % 2 * 8,
              n = warp % 2 * 16 + i / 4 * 8 + lane % 4 * 2 + i % 2;
    stage[m][n] = c[i / 4][i % 4];
  }
  if (F != Fault::NoBarrierBeforeStage) __syncthreads();
  const int m = thread / 4, n = thread % 4 * 8;
  float values[8];
  load8(&stage[m][n], values);
  if (row + m < M) store8(out + (row + m) * N + col + n, values);
}

__global__ void gemm_tf32_kernel(const float* a, const float* b, float* out) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  unsigned af[4];
  for (int i = 0; i < 4; ++i) af[i] = to_tf32(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
  float c[4] = {};
  mma_m16n8k8_tf32(c, af, to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g]));
  for (int i = 0; i < 4; ++i) out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = c[i];
}

// A warp per 8 x 8 tile.
__global__ void transpose_movmatrix_kernel(const Half* x, Half* y, std::int64_t rows, std::int64_t cols) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * 8,
                     col = static_cast<std::int64_t>(blockIdx.x) * 8;
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const Half* from = x + (row + g) * cols + col + 2 * t;
  const float2 pair = unpack2(movmatrix_trans(pack2(from[0], from[1])));
  const float values[2] = {pair.x, pair.y};
  store_vec(y + (col + g) * rows + row + 2 * t, values);
}

using GemmKernel = void (*)(const Half*, const Half*, float*, std::int64_t, std::int64_t, std::int64_t);

GemmKernel gemm_kernel_with(Fault fault) {
  switch (fault) {
    case Fault::NoWaitForCopies: return gemm_kernel<Fault::NoWaitForCopies>;
    case Fault::NoBarrierAfterWait: return gemm_kernel<Fault::NoBarrierAfterWait>;
    case Fault::NoBarrierBeforeRefill: return gemm_kernel<Fault::NoBarrierBeforeRefill>;
    case Fault::NoBarrierBeforeStage: return gemm_kernel<Fault::NoBarrierBeforeStage>;
    case Fault::HalfWarpMma: return gemm_kernel<Fault::HalfWarpMma>;
    default: return gemm_kernel<Fault::None>;
  }
}

const Half* device(const std::vector<bf16>& v) { return reinterpret_cast<const Half*>(v.data()); }

}  // namespace

std::vector<float> gemm(const std::vector<bf16>& a, const std::vector<bf16>& b, std::int64_t M,
                        std::int64_t N, std::int64_t K, Fault fault) {
  std::vector<float> c(static_cast<std::size_t>(M * N));
  const GemmKernel kernel = gemm_kernel_with(fault);
  const dim3 grid(static_cast<unsigned>(N / kTile), static_cast<unsigned>((M + kTile - 1) / kTile));
  RT_LAUNCH(kernel, grid, dim3(kThreads), 2 * smem_bytes<Half>(2 * kTile * kLd), nullptr, device(a),
            device(b), c.data(), M, N, K);
  return c;
}

std::vector<float> gemm_tf32(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> c(16 * 8);
  RT_LAUNCH(gemm_tf32_kernel, dim3(1), dim3(32), 0, nullptr, a.data(), b.data(), c.data());
  return c;
}

std::vector<bf16> transpose(const std::vector<bf16>& x, std::int64_t rows, std::int64_t cols) {
  std::vector<bf16> y(x.size());
  RT_LAUNCH(transpose_movmatrix_kernel,
            dim3(static_cast<unsigned>(cols / 8), static_cast<unsigned>(rows / 8)), dim3(32), 0, nullptr,
            device(x), reinterpret_cast<Half*>(y.data()), rows, cols);
  return y;
}

}  // namespace rt::cuda::testing
