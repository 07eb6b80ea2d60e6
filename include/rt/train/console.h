#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "rt/config/run_config.h"

namespace rt {

struct Progress {
  std::int64_t step = 0, total = 0;  // total 0: unknown
  double loss = 0, lr = 0, grad_norm = 0;
  double tokens_per_s = 0;
  const char* yardstick = "sgemm";
  double flops_fraction = 0;  // model FLOPs over the yardstick's rate
  double mfu = 0;             // over the device's nominal rate; 0: unknown
  double eta_s = -1;          // negative: unknown
};

// How a run shows itself: a bar redrawn in place on a terminal, plain lines elsewhere. Log lines and the bar
// do not mix: the bar is cleared around them. One at a time.
class Console {
 public:
  explicit Console(config::Console mode);  // Auto: a bar when stdout is a terminal
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;
  void step(const Progress& progress, bool log_line);  // of any step; log_line at the logging interval
  void say(const std::string& text);                   // printed as it is, on lines of its own

 private:
  void clear();
  config::Console mode_;
  std::string bar_;
  std::chrono::steady_clock::time_point drawn_{};
};

}  // namespace rt
