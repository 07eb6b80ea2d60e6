#pragma once

// Marks an inline function for host code and kernels alike: the same arithmetic, so the same bits. nvcc wants
// the marks, other compilers do not know them.
#ifdef __CUDACC__
#define RT_HOST_DEVICE __host__ __device__
#else
#define RT_HOST_DEVICE
#endif
