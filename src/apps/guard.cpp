#include "apps/guard.h"

#include <cstdio>

#include "rt/core/failed.h"

namespace rt {

int guarded(const std::function<int()>& body) {
  try {
    return body();
  } catch (...) {
    const Failed failed = what_was_thrown();
    std::fflush(stdout);
    std::fprintf(stderr, "error: %s\n", failed.what.c_str());
    return static_cast<int>(failed.code);
  }
}

}  // namespace rt
