#pragma once
#include <string>

#include "rt/core/error.h"

namespace rt {

// Of the exception being handled, in a catch block: what a program says of it, and its exit status.
struct Failed {
  Exit code = Exit::Failure;
  std::string what;
};
Failed what_was_thrown();

}  // namespace rt
