#include "rt/ops/step_control.h"

#include "cuda/core/reduce.cuh"
#include "cuda/ops/piece.cuh"

namespace rt::cuda {
namespace {

constexpr int kThreads = 256;

// One block.
__global__ void __launch_bounds__(kThreads)
    step_control_kernel(const StepControlArgs a, const float* losses, std::int64_t n, StepControlOuts outs) {
  const auto loss = [&](std::int64_t i) {
    return *reinterpret_cast<const float*>(reinterpret_cast<const char*>(losses) +
                                           loss_offset(a, i, sizeof(float)));
  };
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) sum += static_cast<double>(loss(i));
  sum = block_sum<kThreads>(sum);
  RT_SHARED(NormResult, norms, [kThreads]);
  NormResult norm{0, 0};
  for (std::int64_t first = 0; first < a.units; first += kThreads) {
    const std::int64_t mine = first + threadIdx.x;
    if (mine < a.units) norms[threadIdx.x] = unit_norm(a, mine);
    __syncthreads();
    for (std::int64_t u = first; threadIdx.x == 0 && u < a.units && u < first + kThreads; ++u) {
      norm.sum_squares += norms[u - first].sum_squares;
      norm.non_finite += norms[u - first].non_finite;
    }
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  StepReport found{};
  found.loss = sum;
  found.sum_squares = norm.sum_squares;
  found.non_finite = norm.non_finite;
  found.bad_loss = -1;
  if (sum - sum != 0) {  // NaN then
    found.bad_loss = 0;
    while (found.bad_loss < n - 1 && loss(found.bad_loss) - loss(found.bad_loss) == 0) ++found.bad_loss;
  }
  decide_step(found, a, outs);
}

__global__ void __launch_bounds__(kThreads)
    keep_step_kernel(const StepReport* report, const uint4* from, uint4* to, std::int64_t n) {
  if (report->halted != Halt::No) return;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride)
    to[i] = from[i];
}

}  // namespace

void step_control(ExecContext& ctx, const StepControlArgs& a, const StepControlOuts& o) {
  if (ctx.dry_run) return;
  RT_LAUNCH(step_control_kernel, dim3(1), dim3(kThreads), 0, stream_of(ctx), a,
            device_ptr<const float>(a.losses), a.losses ? a.losses.numel() : 0, o);
}

void keep_step(ExecContext& ctx, const KeepStepArgs& a) {
  const auto n = static_cast<std::int64_t>(a.from.nbytes() / sizeof(uint4));
  if (ctx.dry_run || n == 0) return;
  RT_LAUNCH(keep_step_kernel, capped_grid(n, kThreads), dim3(kThreads), 0, stream_of(ctx), a.report,
            reinterpret_cast<const uint4*>(a.from.data), reinterpret_cast<uint4*>(a.to.data), n);
}

}  // namespace rt::cuda
