#pragma once
#include "rt/core/dtype.h"

// What device `index` can do, timed on the device itself: the yardsticks of its speed figures.
namespace rt::cuda {

// FLOP/s of the library's own product of square matrices (F32 or BF16 inputs, result of the same dtype), the
// best of several runs. Takes about a second, most of it for random inputs, and 0.4 GiB.
double measure_matmul_flops(DType dtype, int index = 0);

// Bytes read plus bytes written per second of a copy within the device's memory, the best of several runs.
double measure_copy_bytes_per_s(int index = 0);

}  // namespace rt::cuda
