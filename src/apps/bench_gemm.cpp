#include <cstring>
#include <vector>

#include "apps/bench.h"
#include "apps/model_options.h"
#include "rt/core/parallel.h"
#include "rt/ops/gemm_rate.h"

namespace rt {
namespace {

constexpr std::size_t kCopyBytes = std::size_t{256} << 20;  // far beyond any cache
constexpr std::int64_t kPiece = std::int64_t{4} << 20;

}  // namespace

double host_copy_bytes_per_s() {
  const std::vector<char> from(kCopyBytes, 1);
  std::vector<char> to(kCopyBytes);
  const double seconds = best_seconds(3, [&] {
    parallel_for(static_cast<std::int64_t>(kCopyBytes), kPiece, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin));
    });
  });
  return 2 * static_cast<double>(kCopyBytes) / seconds;
}

int bench_gemm_main(int argc, char** argv) {
  std::int64_t threads = 0;
  std::optional<std::string> json;
  Options options("rwkv bench gemm",
                  "The f32 matrix product, the yardstick of every speed figure, and copying.");
  options.count("--threads", threads, "Threads; 0: one per core");
  options.text("--json", json, "Also write the figures to this file");
  if (!options.parse(argc, argv)) return 0;
  use_threads(threads);
  BenchReport report("gemm");
  const int all = num_threads();
  report.value("sgemm", measure_sgemm_flops(1.0) / 1e9, "GFLOP/s");
  report.value("copy", host_copy_bytes_per_s() / 2e9, "GB/s");
  if (all > 1) {
    set_num_threads(1);
    report.value("sgemm_1_thread", measure_sgemm_flops(1.0) / 1e9, "GFLOP/s");
    report.value("copy_1_thread", host_copy_bytes_per_s() / 2e9, "GB/s");
  }
  report.write(json);
  return 0;
}

}  // namespace rt
