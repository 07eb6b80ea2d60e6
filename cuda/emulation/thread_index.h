#pragma once
#include <cuda_runtime.h>

// The index variables of the running thread of a kernel. A fiber finds its own values after every switch, so
// that a compiler may keep them in registers.
inline constinit thread_local uint3 threadIdx{};
inline constinit thread_local uint3 blockIdx{};
inline constinit thread_local dim3 blockDim{};
inline constinit thread_local dim3 gridDim{};
constexpr int warpSize = 32;
