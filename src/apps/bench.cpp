#include "apps/bench.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "apps/verb.h"
#include "apps/version.h"
#include "rt/core/parallel.h"

namespace rt {

struct BenchReport::State {
  nlohmann::ordered_json json;
};

BenchReport::BenchReport(const std::string& name) : state_(std::make_unique<State>()) {
  state_->json["bench"] = name;
  state_->json["build"] = version_text("rwkv");
  state_->json["threads"] = num_threads();
}
BenchReport::~BenchReport() = default;

void BenchReport::value(const std::string& key, double v, const std::string& unit) {
  state_->json["values"][key] = {{"value", v}, {"unit", unit}};
  std::printf("%-34s %12.6g %s\n", key.c_str(), v, unit.c_str());
  std::fflush(stdout);
}

void BenchReport::text(const std::string& key, const std::string& v) {
  state_->json[key] = v;
  std::printf("%-34s %s\n", key.c_str(), v.c_str());
}

void BenchReport::write(const std::optional<std::string>& file) const {
  if (!file) return;
  std::ofstream out(*file);
  out << state_->json.dump(2) << "\n";
  out.close();
  if (!out) fail(Exit::Failure, "--json: {} cannot be written.", *file);
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double best_seconds(int repeats, const std::function<void()>& run) {
  run();
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repeats; ++i) {
    const double begin = now_seconds();
    run();
    best = std::min(best, now_seconds() - begin);
  }
  return best;
}

int bench_main(int argc, char** argv) {
  constexpr Verb kBenches[] = {
      {"gemm", "the matrix product and the memory of this machine", bench_gemm_main},
      {"wkv7", "the recurrence alone, forward and backward", bench_wkv7_main},
      {"kernels", "every op alone, against what memory and matrix units allow", bench_kernels_main},
      {"step", "whole training steps", bench_step_main},
      {"data", "the data loader", bench_data_main},
      {"tokenizer", "encoding and decoding text on one core", bench_tokenizer_main},
      {"prepare", "text to token data, end to end", bench_prepare_main},
  };
  const std::string_view name = argc < 2 ? "--help" : argv[1];
  std::string known, help = "usage: rwkv bench NAME [options]\n\nbenchmarks:\n";
  for (const Verb& b : kBenches) {
    if (name == b.name) return b.run(argc - 1, argv + 1);
    known += (known.empty() ? "" : ", ") + std::string(b.name);
    std::string padded = b.name;
    padded.resize(10, ' ');
    help += "  " + padded + b.help + "\n";
  }
  if (name == "--help" || name == "-h") {
    std::fputs(help.c_str(), argc < 2 ? stderr : stdout);
    return argc < 2 ? static_cast<int>(Exit::Config) : 0;
  }
  fail(Exit::Config, "rwkv bench: \"{}\" is not a benchmark. Use one of {}.", name, known);
}

}  // namespace rt
