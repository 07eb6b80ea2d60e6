#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "rt/core/error.h"

// Facade over the logging library, so that no public header and no CUDA file sees it.
// One event is one line: "[area] what, key=value". Console lines go to stderr, where results on stdout are
// not mixed with them; a program whose result is its log may choose stdout.
namespace rt::log {

enum class Level { Debug, Info, Warn, Error, Off };

void write(Level level, std::string_view area, std::string_view line);
void set_level(Level level);
void use_stdout();
// Also appends every line, with a timestamp, to `path` (created with its directories) until close_file().
void open_file(const std::filesystem::path& path);
void close_file();
// Called around every console line so that a progress bar can be cleared and drawn again. May be empty.
void set_console_hooks(void (*before)(), void (*after)());

template <class... Args>
void info(std::string_view area, std::string_view pattern, const Args&... args) {
  write(Level::Info, area, format(pattern, args...));
}
template <class... Args>
void warn(std::string_view area, std::string_view pattern, const Args&... args) {
  write(Level::Warn, area, format(pattern, args...));
}
template <class... Args>
void error(std::string_view area, std::string_view pattern, const Args&... args) {
  write(Level::Error, area, format(pattern, args...));
}

}  // namespace rt::log
