#pragma once
#include <functional>

namespace rt {

// For a thread of our own, when it begins. Signals meant for the process are taken by the thread that started
// it: a handler must not run on another's stack in the middle of a kernel (see train/signals.cpp), nor leave
// the first one waiting. What a thread causes itself still reaches it.
void leave_signals_to_others();

// The same for threads that a library starts in `work`: they take over what the calling one leaves alone
// meanwhile.
void starting_others(const std::function<void()>& work);

}  // namespace rt
