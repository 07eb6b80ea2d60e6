#include "rt/train/signals.h"

#include <unistd.h>

#include <csignal>
#include <ctime>

namespace rt {
namespace {

constexpr int kCaught[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
constexpr std::size_t kStackBytes = std::size_t{64} << 10;  // a frame with AVX-512 state is about 4 KiB
std::atomic<int> pending{0};
std::atomic<long long> asked_at{0};  // nanoseconds of the monotonic clock
static_assert(std::atomic<int>::is_always_lock_free, "the handler must be async-signal-safe");

long long nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void handle(int signal) {
  if (pending.exchange(signal) != 0) _exit(128 + signal);
  asked_at = nanoseconds();
}

}  // namespace

// On a stack of its own: oneDNN's sgemm kernels point the stack pointer at the start of a heap block while K
// is large, and a signal's frame, pushed below it, would overwrite the block's neighbour. (Workers of
// parallel_for take no signals.)
SignalGuard::SignalGuard() : stack_(std::make_unique<std::byte[]>(kStackBytes)) {
  stack_t stack{};
  stack.ss_sp = stack_.get();
  stack.ss_size = kStackBytes;
  sigaltstack(&stack, nullptr);
  pending = 0;
  asked_at = 0;
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_ONSTACK;
  for (const int s : kCaught) sigaction(s, &action, nullptr);
}

SignalGuard::~SignalGuard() {
  for (const int s : kCaught) std::signal(s, SIG_DFL);
  stack_t none{};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
}

const std::atomic<int>& SignalGuard::requested() { return pending; }

double SignalGuard::seconds_since_request() {
  const long long at = asked_at;
  return at == 0 ? 0 : static_cast<double>(nanoseconds() - at) * 1e-9;
}

const char* SignalGuard::name(int signal) {
  switch (signal) {
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    case SIGUSR2: return "SIGUSR2";
    default: return "signal";
  }
}

}  // namespace rt
