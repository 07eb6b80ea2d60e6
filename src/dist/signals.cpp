#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dist/attempt.h"
#include "rt/core/error.h"

namespace rt::dist {
namespace {

constexpr Milliseconds kEcho(500);

}  // namespace

Signals::Signals() {
  sigset_t ours;
  sigemptyset(&ours);
  for (const int s : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGCHLD}) sigaddset(&ours, s);
  ::pthread_sigmask(SIG_BLOCK, &ours, &before_);
  from_ = Socket(::signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!from_) fail(Exit::Failure, "signalfd: {}", std::strerror(errno));
}

Signals::~Signals() {
  take();  // one that came late would end the caller
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::vector<int> Signals::take() {
  std::vector<int> came;
  signalfd_siginfo info{};
  while (::read(from_.fd(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) continue;
    const auto now = std::chrono::steady_clock::now();
    const bool echo = number == last_ && now - last_at_ < kEcho;
    last_ = number;
    last_at_ = now;
    if (echo) continue;
    if (!stopped_) stopped_ = number;
    came.push_back(number);
  }
  return came;
}

void Signals::wait(Milliseconds most) {
  const auto until = std::chrono::steady_clock::now() + most;
  while (!stopped_) {
    const auto left = std::chrono::duration_cast<Milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    pollfd one{from_.fd(), POLLIN, 0};
    ::poll(&one, 1, static_cast<int>(left.count()));
    take();
  }
}

}  // namespace rt::dist
