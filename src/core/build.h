#pragma once
// The only file that knows the build flag. RT_CUDA(f) is f in a build with the CUDA backend and nullptr
// without.
#ifdef RT_WITH_CUDA
#define RT_CUDA(fn) (fn)
#else
#define RT_CUDA(fn) nullptr
#endif
