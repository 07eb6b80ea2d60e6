#include "rt/train/signals.h"

#include <unistd.h>
#include <csignal>

namespace rt {
namespace {

constexpr int kCaught[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
std::atomic<int> pending{0};
static_assert(std::atomic<int>::is_always_lock_free, "the handler must be async-signal-safe");

void handle(int signal) {
  if (pending.exchange(signal) != 0) _exit(128 + signal);
}

}  // namespace

SignalGuard::SignalGuard() {
  pending = 0;
  struct sigaction action {};
  action.sa_handler = handle;
  for (const int s : kCaught) sigaction(s, &action, nullptr);
}

SignalGuard::~SignalGuard() {
  for (const int s : kCaught) std::signal(s, SIG_DFL);
}

const std::atomic<int>& SignalGuard::requested() { return pending; }

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
