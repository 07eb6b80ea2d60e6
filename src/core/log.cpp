#include "rt/core/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>

namespace rt::log {
namespace {

struct State {
  std::mutex mutex;
  std::shared_ptr<spdlog::sinks::sink> console = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  std::shared_ptr<spdlog::sinks::sink> file;
  spdlog::level::level_enum level = spdlog::level::info;
  bool failing = false;  // the file, when it was last written to
  void (*before)() = nullptr;
  void (*after)() = nullptr;
  State() { console->set_pattern("%v"); }
};

State& state() {
  static State instance;
  return instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::Debug: return spdlog::level::debug;
    case Level::Info: return spdlog::level::info;
    case Level::Warn: return spdlog::level::warn;
    case Level::Error: return spdlog::level::err;
    case Level::Off: return spdlog::level::off;
  }
  return spdlog::level::info;
}

}  // namespace

void write(Level level, std::string_view area, std::string_view line) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto severity = to_spdlog(level);
  if (severity < s.level) return;
  std::string text = format("[{}] ", area);
  if (level == Level::Warn) text += "warning: ";
  if (level == Level::Error) text += "error: ";
  text += line;
  const spdlog::details::log_msg message("rt", severity, text);
  if (s.before) s.before();
  s.console->log(message);
  s.console->flush();
  if (s.after) s.after();
  if (!s.file) return;
  try {
    s.file->log(message);
    s.file->flush();
    s.failing = false;
  } catch (const spdlog::spdlog_ex& e) {  // a full disk costs lines, and not what is being told of
    if (!s.failing)
      s.console->log(
          spdlog::details::log_msg("rt", spdlog::level::warn, std::string("[log] warning: ") + e.what()));
    s.failing = true;
  }
}

void set_level(Level level) { state().level = to_spdlog(level); }

void use_stdout() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.console = std::make_shared<spdlog::sinks::stdout_sink_mt>();
  s.console->set_pattern("%v");
}

void open_file(const std::filesystem::path& path) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  try {
    s.file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string(), false);
  } catch (const spdlog::spdlog_ex& e) {
    fail(Exit::Failure, "{}: cannot open the log file: {}", path.string(), e.what());
  }
  s.file->set_pattern("%Y-%m-%d %H:%M:%S.%e %v");
}

void close_file() {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.file.reset();
}

void set_console_hooks(void (*before)(), void (*after)()) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.before = before;
  s.after = after;
}

}  // namespace rt::log
