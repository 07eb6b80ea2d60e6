#include <fstream>

#include "dist/watcher.h"
#include "rt/core/log.h"

namespace rt::dist {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

double seconds_before(Clock::time_point now, Clock::time_point then) {
  return std::chrono::duration<double>(now - then).count();
}

void write(std::ostream& out, const Report& r) {
  out << "{\"place\": " << quoted(r.place) << ", \"phase\": " << quoted(r.phase)
      << ", \"phase_s\": " << static_cast<double>(r.phase_ms) / 1000
      << ", \"no_progress_s\": " << static_cast<double>(r.idle_ms) / 1000
      << ", \"timeout_s\": " << static_cast<double>(r.limit_ms) / 1000 << ", \"step\": " << r.step
      << ", \"reports\": " << r.beats << ", \"begun\": " << r.begun << ", \"waits_in\": " << r.waits_in
      << ", \"op\": " << quoted(r.op) << "}";
}

}  // namespace

std::filesystem::path trace_dir(const WatchOptions& options, std::int64_t hang_step) {
  return options.dir / ("hang-" + std::to_string(hang_step < 0 ? 0 : hang_step));
}

void write_trace(const WatchOptions& options, std::int64_t hang_step, const Activity& activity,
                 const Report& mine, const Reports& others) {
  const std::filesystem::path dir = trace_dir(options, hang_step);
  const std::filesystem::path file = dir / ("rank" + std::to_string(options.rank) + ".json");
  std::error_code ignored;
  std::filesystem::create_directories(dir, ignored);
  std::ofstream out(file);
  const auto now = Clock::now();
  out << "{\"rank\": " << options.rank << ", \"world\": " << options.world << ",\n\"this\": ";
  write(out, mine);
  out << ",\n\"ranks\": {";
  const char* between = "\n";
  for (const auto& [rank, report] : others) {
    out << between << "  \"" << rank << "\": ";
    write(out, report);
    between = ",\n";
  }
  out << "},\n\"collectives\": [";
  between = "\n";
  for (const Collective& c : activity.collectives()) {
    out << between << "  {\"seq\": " << c.number << ", \"op\": " << quoted(c.op.view())
        << ", \"bytes\": " << c.bytes << ", \"phase\": " << quoted(c.phase.view())
        << ", \"begun_s_ago\": " << seconds_before(now, c.begin) << ", \"done_s_ago\": ";
    if (c.done) {
      out << seconds_before(now, c.end) << "}";
    } else {
      out << "null}";
    }
    between = ",\n";
  }
  out << "]}\n";
  out.close();
  if (!out) log::warn("dist", "{}: cannot be written", file.string());
}

}  // namespace rt::dist
