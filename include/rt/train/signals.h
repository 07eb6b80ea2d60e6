#pragma once
#include <atomic>
#include <cstddef>
#include <memory>

namespace rt {

// Catches SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 while it lives: the first sets requested() to its number, the
// second ends the process at once with status 128 + number. One at a time, on the thread that computes.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  static const std::atomic<int>& requested();
  static double seconds_since_request();  // 0 without one
  static const char* name(int signal);

 private:
  std::unique_ptr<std::byte[]> stack_;  // the handler's
};

}  // namespace rt
