#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "cuda/core/check.h"

namespace rt::cuda {
namespace detail {

// RT_SYNC=1: every launch waits for its kernel, so that an error names the kernel it comes from.
inline bool sync_every_launch() {
  static const bool wanted = [] {
    const char* text = std::getenv("RT_SYNC");
    return text && std::strcmp(text, "0") != 0 && *text;
  }();
  return wanted;
}

// Of the call just made: `doing` the kernel.
inline void check_launch(cudaError_t error, const char* doing, const char* kernel) {
  if (error != cudaSuccess) throw_failed_call(error, (std::string(doing) + kernel).c_str());
}

inline void finish_launch(const char* name, cudaStream_t stream) {
  check_launch(cudaGetLastError(), "launch of ", name);
  if (!sync_every_launch()) return;
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check_launch(cudaStreamIsCapturing(stream, &capture), "after launch of ", name);
  if (capture == cudaStreamCaptureStatusNone) check_launch(cudaStreamSynchronize(stream), "run of ", name);
}

}  // namespace detail

// kernel<<<grid, block, smem, stream>>>(args...), with the arguments converted to the kernel's parameters.
// Returns before the kernel has run; throws when it could not be launched.
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t smem,
            cudaStream_t stream, A&&... args) {
  static_assert((0 + ... + sizeof(P)) <= 4096, "a kernel takes up to 4096 bytes of parameters");
  static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
  // Without this a block gets 48 KiB, of which a kernel's static arrays are a part.
  constexpr std::size_t kCertain = 16 * 1024;
  if (smem > kCertain) {
    detail::check_launch(
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(smem)),
        "shared memory of ", name);
  }
  kernel<<<grid, block, smem, stream>>>(static_cast<P>(std::forward<A>(args))...);
  detail::finish_launch(name, stream);
}

// Bytes of shared memory, static arrays included, that a block can have on the current device.
inline std::size_t block_shared_limit() {
  int device = 0, bytes = 0;
  detail::check_launch(cudaGetDevice(&device), "current device", "");
  detail::check_launch(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
                       "shared memory of a block", "");
  return static_cast<std::size_t>(bytes);
}

}  // namespace rt::cuda

// A kernel whose name has a comma is bound to a name first: const auto kernel = foo_kernel<64, 16>.
#define RT_LAUNCH(kernel, grid, block, smem, stream, ...) \
  ::rt::cuda::launch(#kernel, kernel, grid, block, smem, stream __VA_OPT__(, ) __VA_ARGS__)
