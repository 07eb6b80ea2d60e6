#pragma once
#include <initializer_list>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

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
// An argument of format(), and how to print it. Without types, so that a call costs a compiler little.
struct FormatArg {
  const void* value;
  void (*print)(std::ostream& out, const void* value);
};
template <class T>
FormatArg format_arg(const T& value) {
  if constexpr (std::is_array_v<T>) {  // a string literal
    return {value, [](std::ostream& out, const void* v) { out << static_cast<const char*>(v); }};
  } else {
    return {std::addressof(value),
            [](std::ostream& out, const void* v) { out << *static_cast<const T*>(v); }};
  }
}
std::string format_args(std::string_view pattern, std::initializer_list<FormatArg> args);

[[noreturn]] void throw_check_failed(const char* file, int line, const std::string& what);
}  // namespace detail

// Replaces each "{}" by the next argument's operator<<. (g++ 12 has no <format>, public headers no fmt.)
template <class... Args>
std::string format(std::string_view pattern, const Args&... args) {
  return detail::format_args(pattern, {detail::format_arg(args)...});
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
