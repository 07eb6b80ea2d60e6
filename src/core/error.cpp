#include "rt/core/error.h"

#include <cstring>

namespace rt::detail {

void throw_check_failed(const char* file, int line, const std::string& what) {
  const char* slash = std::strrchr(file, '/');
  throw Error(Exit::Failure, format("{} [{}:{}]", what, slash ? slash + 1 : file, line));
}

}  // namespace rt::detail
