#pragma once
#include <filesystem>
#include <utility>

#include "rt/core/error.h"

namespace rt::data {

// Runs `f`; what the file system library throws becomes Exit::Data with the path.
template <class F>
auto with_fs_errors(F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const std::filesystem::filesystem_error& e) {
    fail(Exit::Data, "{}: {}", e.path1().string(), e.code().message());
  }
}

}  // namespace rt::data
