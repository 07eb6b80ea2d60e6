#include "rt/core/error.h"

#include <cstring>
#include <sstream>

namespace rt::detail {

std::string format_args(std::string_view pattern, std::initializer_list<FormatArg> args) {
  std::ostringstream out;
  for (const FormatArg& arg : args) {
    const auto hole = pattern.find("{}");
    if (hole == std::string_view::npos) break;
    out << pattern.substr(0, hole);
    arg.print(out, arg.value);
    pattern.remove_prefix(hole + 2);
  }
  out << pattern;
  return out.str();
}

void throw_check_failed(const char* file, int line, const std::string& what) {
  const char* slash = std::strrchr(file, '/');
  throw Error(Exit::Failure, format("{} [{}:{}]", what, slash ? slash + 1 : file, line));
}

}  // namespace rt::detail
