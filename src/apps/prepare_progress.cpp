#include "apps/prepare_progress.h"

#include <unistd.h>

#include <cstdio>

#include "apps/bench.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

constexpr double kRedrawSeconds = 0.2, kLineSeconds = 10;

}  // namespace

std::string progress_line(const data::PrepareProgress& p, double seconds) {
  std::string line = human_bytes(double(p.bytes_done)) + " of " + human_bytes(double(p.bytes_total)) + ", " +
                     human_count(double(p.tokens)) + " tokens";
  const double done = double(p.bytes_done) - double(p.bytes_skipped);
  if (seconds <= 0 || done <= 0) return line;
  line += format(", {} MB/s", static_cast<long>(double(p.text_bytes) / seconds / 1e6));
  const double left = double(p.bytes_total) - double(p.bytes_done);
  if (left > 0) line += ", " + human_seconds(left * seconds / done) + " left";
  return line;
}

PrepareMeter::PrepareMeter() : terminal_(isatty(STDERR_FILENO) != 0), begin_(now_seconds()), shown_(begin_) {}

PrepareMeter::~PrepareMeter() {
  if (drawn_) std::fputc('\n', stderr);
}

void PrepareMeter::show(const data::PrepareProgress& p) {
  const double now = now_seconds();
  const bool last = terminal_ && p.bytes_done >= p.bytes_total;
  if (now - shown_ < (terminal_ ? kRedrawSeconds : kLineSeconds) && !last) return;
  shown_ = now;
  const std::string line = progress_line(p, now - begin_);
  std::fprintf(stderr, terminal_ ? "\r\033[K%s" : "[data] %s\n", line.c_str());
  std::fflush(stderr);
  drawn_ = terminal_;
}

void PrepareMeter::note(const std::string& line) {
  std::fprintf(stderr, "%s[data] %s\n", drawn_ ? "\n" : "", line.c_str());
  drawn_ = false;
}

}  // namespace rt
