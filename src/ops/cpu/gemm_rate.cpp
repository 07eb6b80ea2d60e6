#include "rt/ops/gemm_rate.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "ops/cpu/gemm.h"

namespace rt {

void warm_up_sgemm() {
  constexpr std::int64_t n = 512;
  const std::vector<float> a(n * n, 0.5f);
  parallel_for(num_threads(), 1, [&](std::int64_t, std::int64_t) {
    std::vector<float> c(n * n);
    for (const bool transposed : {false, true}) {
      cpu::sgemm(transposed, !transposed, n, n, n, 1.0f, a.data(), n, a.data(), n, 0.0f, c.data(), n);
    }
  });
}

double measure_sgemm_flops(double seconds) {
  constexpr std::int64_t M = 2048, N = 2048, K = 1024, kPanel = 256;
  const std::vector<float> a(M * K, 0.5f), b(N * K, 0.25f);
  std::vector<float> c(M * N);
  double best = 0;
  const auto begin = std::chrono::steady_clock::now();
  const auto since = [](auto t) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
  };
  for (int run = 0; run < 3 || since(begin) < seconds; ++run) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(M, kPanel, [&](std::int64_t first, std::int64_t end) {
      cpu::sgemm(false, true, end - first, N, K, 1.0f, a.data() + first * K, K, b.data(), K, 0.0f,
                 c.data() + first * N, N);
    });
    best = std::max(best, 2.0 * M * N * K / since(start));
  }
  return best;
}

}  // namespace rt
