#pragma once
#include <functional>

namespace rt {

// Runs a program's body: what it throws becomes one line "error: ..." on stderr and an exit status.
int guarded(const std::function<int()>& body);

}  // namespace rt
