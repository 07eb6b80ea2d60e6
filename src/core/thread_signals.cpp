#include "rt/core/thread_signals.h"

#include <signal.h>

namespace rt {

void leave_signals_to_others() {
  sigset_t set;
  sigfillset(&set);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&set, own);
  pthread_sigmask(SIG_SETMASK, &set, nullptr);
}

void starting_others(const std::function<void()>& work) {
  struct Mask {
    sigset_t before;
    Mask() { pthread_sigmask(SIG_BLOCK, nullptr, &before); }
    ~Mask() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  } const mask;
  leave_signals_to_others();
  work();
}

}  // namespace rt
