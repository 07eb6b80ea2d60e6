#pragma once
#include <cuda_runtime_api.h>

#include <string>

// RT_CUDA_CHECK(call) throws rt::Error, one line, when a call of the CUDA runtime fails; out of memory has
// Exit::Memory. RT_CUDA_CHECK_NOTHROW(call) is for destructors: it logs instead. Not for emulated kernels,
// which never call the runtime.
#ifdef RT_CUDA_EMULATION
#error "emulated kernels do not call the CUDA runtime"
#endif

namespace rt::cuda {

// After such an error every call fails, for the rest of the process.
bool is_sticky(cudaError_t error) noexcept;

// "cuda: <what>: cudaErrorX: text"
std::string error_line(cudaError_t error, const char* what);

[[noreturn]] void throw_failed_call(cudaError_t error, const char* what);
void log_failed_call(cudaError_t error, const char* what) noexcept;

}  // namespace rt::cuda

#define RT_CUDA_CHECK(call)                                                                  \
  do {                                                                                       \
    const cudaError_t rt_cuda_error_ = (call);                                               \
    if (rt_cuda_error_ != cudaSuccess) ::rt::cuda::throw_failed_call(rt_cuda_error_, #call); \
  } while (false)

#define RT_CUDA_CHECK_NOTHROW(call)                                                        \
  do {                                                                                     \
    const cudaError_t rt_cuda_error_ = (call);                                             \
    if (rt_cuda_error_ != cudaSuccess) ::rt::cuda::log_failed_call(rt_cuda_error_, #call); \
  } while (false)
