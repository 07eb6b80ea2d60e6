#pragma once

namespace rt {

// FLOP/s of this machine's own f32 matrix product with all threads of parallel_for: the yardstick of every
// speed figure. The best of several runs of 2048 x 2048 x 1024 within about `seconds`.
double measure_sgemm_flops(double seconds = 0.3);

// Loads the matrix library and makes every thread take its packing buffers, so that resident memory shows
// them.
void warm_up_sgemm();

}  // namespace rt
