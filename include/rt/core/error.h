#pragma once
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rt {

// Process exit codes; launchers requeue on 75 and 76 only.
enum class Exit : int {
  Ok = 0,
  Failure = 1,
  Config = 2,
  Data = 3,
  Checkpoint = 4,
  Memory = 5,
  NonFinite = 17,
  Interrupted = 75,
  Peer = 76,
};

// The one exception type: what() is a single line for the user, code() the exit status of the program.
class Error : public std::runtime_error {
 public:
  Error(Exit code, const std::string& what) : std::runtime_error(what), code_(code) {}
  Exit code() const noexcept { return code_; }

 private:
  Exit code_;
};

namespace detail {
inline void format_into(std::ostringstream& out, std::string_view pattern) { out << pattern; }

template <class Head, class... Tail>
void format_into(std::ostringstream& out, std::string_view pattern, const Head& head, const Tail&... tail) {
  const auto hole = pattern.find("{}");
  if (hole == std::string_view::npos) {
    out << pattern;
    return;
  }
  out << pattern.substr(0, hole) << head;
  format_into(out, pattern.substr(hole + 2), tail...);
}

[[noreturn]] void throw_check_failed(const char* file, int line, const std::string& what);
}  // namespace detail

// Replaces each "{}" by the next argument's operator<<. (g++ 12 has no <format>, public headers no fmt.)
template <class... Args>
std::string format(std::string_view pattern, const Args&... args) {
  std::ostringstream out;
  detail::format_into(out, pattern, args...);
  return out.str();
}

// Throws a user-facing error: fail(Exit::Data, "{}: truncated at byte {}", path, offset).
template <class... Args>
[[noreturn]] void fail(Exit code, std::string_view pattern, const Args&... args) {
  throw Error(code, format(pattern, args...));
}

}  // namespace rt

// A caller's mistake: throws rt::Error (Exit::Failure) with the source location. Our own invariants use
// assert.
#define RT_CHECK(cond, ...)                                                                       \
  do {                                                                                            \
    if (!(cond)) ::rt::detail::throw_check_failed(__FILE__, __LINE__, ::rt::format(__VA_ARGS__)); \
  } while (false)
