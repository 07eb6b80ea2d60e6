#include "rt/core/thread_signals.h"

namespace rt {

void leave_signals_to_others() {
  sigset_t set;
  sigfillset(&set);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&set, own);
  pthread_sigmask(SIG_SETMASK, &set, nullptr);
}

SignalsLeftToOthers::SignalsLeftToOthers() {
  pthread_sigmask(SIG_BLOCK, nullptr, &before_);
  leave_signals_to_others();
}
SignalsLeftToOthers::~SignalsLeftToOthers() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace rt
