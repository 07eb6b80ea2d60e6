#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "apps/options.h"

namespace rt {

// What a benchmark measured, printed as it comes and kept for --json.
class BenchReport {
 public:
  explicit BenchReport(const std::string& name);  // also notes commit, CPU and threads
  ~BenchReport();
  void value(const std::string& key, double v, const std::string& unit);
  void text(const std::string& key, const std::string& v);
  void write(const std::optional<std::string>& file) const;  // Exit::Failure when it cannot be written

 private:
  struct State;
  std::unique_ptr<State> state_;
};

double now_seconds();
// The shortest of `repeats` runs, after one that is not counted.
double best_seconds(int repeats, const std::function<void()>& run);

// Bytes per second of a copy between two places in memory far beyond any cache: read once and written once.
double host_copy_bytes_per_s();

// argv[0] is the benchmark's name.
int bench_gemm_main(int argc, char** argv);
int bench_wkv7_main(int argc, char** argv);
int bench_step_main(int argc, char** argv);
int bench_data_main(int argc, char** argv);
int bench_tokenizer_main(int argc, char** argv);
int bench_prepare_main(int argc, char** argv);
int bench_kernels_main(int argc, char** argv);

}  // namespace rt
