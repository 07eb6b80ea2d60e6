#pragma once
#include <algorithm>
#include <cstdint>

#include "cuda/core/vec.cuh"
#include "cuda/device.h"
#include "rt/core/error.h"
#include "rt/core/exec.h"

// Elementwise work over contiguous arrays of one storage type, 16 bytes or more at a time.
namespace rt::cuda {

// out[i] = f(a[i], b[i]), plus out[i] when `accumulate`, arithmetic in f32, rounded once. The arrays may be
// the same. `aligned`: all of them begin at multiples of 16 bytes.
template <class F, class T>
__global__ void map_kernel(F f, std::int64_t n, bool accumulate, bool aligned, const T* a, const T* b,
                           T* out) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x * 8;
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 8; i < n;
       i += stride) {
    const int count = static_cast<int>(n - i < 8 ? n - i : 8);
    if (aligned && count == 8) {
      float x[8], y[8], z[8];
      load8(a + i, x);
      load8(b + i, y);
      if (accumulate) load8(out + i, z);
#pragma unroll
      for (int j = 0; j < 8; ++j) z[j] = accumulate ? z[j] + f(x[j], y[j]) : f(x[j], y[j]);
      store8(out + i, z);
    } else {
      for (int j = 0; j < count; ++j) {
        const float value = f(to_float(a[i + j]), to_float(b[i + j]));
        out[i + j] = from_float<T>(accumulate ? to_float(out[i + j]) + value : value);
      }
    }
  }
}

// Calls g(T*{}) with the device type of a storage dtype.
template <class G>
void dispatch_storage(DType dtype, const G& g) {
  RT_CHECK(dtype == DType::F32 || dtype == DType::BF16, "no CUDA kernel for {}", name(dtype));
  dtype == DType::BF16 ? g(static_cast<__nv_bfloat16*>(nullptr)) : g(static_cast<float*>(nullptr));
}

inline cudaStream_t stream_of(const ExecContext& ctx) {
  return static_cast<cudaStream_t>(ctx.stream.native());
}

// Launches on ctx.stream; the three views have one dtype and as many elements.
template <class F>
void map(ExecContext& ctx, const char* what, F f, const TensorView& a, const TensorView& b,
         const TensorView& out, bool accumulate = false) {
  if (ctx.dry_run) return;
  RT_CHECK(
      a.dtype == out.dtype && b.dtype == out.dtype && a.numel() == out.numel() && b.numel() == out.numel(),
      "{}: {} {}, {} {}, {} {}", what, a.shape, name(a.dtype), b.shape, name(b.dtype), out.shape,
      name(out.dtype));
  constexpr int kThreads = 256;
  // Enough blocks to fill any device several times over; the loop in the kernel takes the rest.
  constexpr std::int64_t kMaxBlocks = 8192;
  const std::int64_t n = out.numel(), per_block = kThreads * 8;
  const auto address = [](const TensorView& v) { return reinterpret_cast<std::uintptr_t>(v.data); };
  const bool aligned = (address(a) | address(b) | address(out)) % 16 == 0;
  const auto blocks = static_cast<unsigned>(std::min(kMaxBlocks, (n + per_block - 1) / per_block));
  dispatch_storage(out.dtype, [&]<class T>(T*) {
    launch(what, map_kernel<F, T>, dim3(blocks), dim3(kThreads), 0, stream_of(ctx), f, n, accumulate, aligned,
           reinterpret_cast<const T*>(a.data), reinterpret_cast<const T*>(b.data),
           reinterpret_cast<T*>(out.data));
  });
}

}  // namespace rt::cuda
