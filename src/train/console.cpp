#include "rt/train/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

Console* current = nullptr;
std::string* current_bar = nullptr;

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void erase_line() {
  if (current_bar && !current_bar->empty()) std::fputs("\r\033[K", stdout);
}
void redraw_line() {
  if (!current_bar || current_bar->empty()) return;
  std::fputs(current_bar->c_str(), stdout);
  std::fflush(stdout);
}

std::string fixed(const char* pattern, double v) {
  char text[64];
  std::snprintf(text, sizeof(text), pattern, v);
  return text;
}

std::string numbers(const Progress& p) {
  std::string text = "loss " + fixed("%.4f", p.loss) + "  lr " + fixed("%.2e", p.lr) + "  norm " +
                     fixed("%.2f", p.grad_norm) + "  " + human_count(p.tokens_per_s) + " tok/s  " +
                     fixed("%.0f%%", 100 * p.flops_fraction) + " of " + p.yardstick;
  if (p.mfu > 0) text += "  mfu " + fixed("%.0f%%", 100 * p.mfu);
  if (p.eta_s >= 0) text += "  eta " + human_seconds(p.eta_s);
  return text;
}

std::string position(const Progress& p) {
  return p.total > 0 ? format("{}/{}", p.step, p.total) : format("{}", p.step);
}

}  // namespace

Console::Console(config::Console mode) : mode_(mode) {
  if (mode_ == config::Console::Auto)
    mode_ = isatty(STDOUT_FILENO) ? config::Console::Bar : config::Console::Lines;
  RT_CHECK(!current, "a second console");
  current = this;
  current_bar = &bar_;
  log::set_console_hooks(erase_line, redraw_line);
}

Console::~Console() {
  clear();
  log::set_console_hooks(nullptr, nullptr);
  current = nullptr;
  current_bar = nullptr;
}

void Console::clear() {
  erase_line();
  std::fflush(stdout);
  bar_.clear();
}

void Console::step(const Progress& p, bool log_line) {
  if (mode_ == config::Console::Lines && log_line) {
    std::printf("step %s  %s\n", position(p).c_str(), numbers(p).c_str());
    std::fflush(stdout);
  }
  if (mode_ != config::Console::Bar) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < std::chrono::milliseconds(80) && p.step != p.total) return;
  drawn_ = now;
  erase_line();
  constexpr std::size_t kCells = 20;
  const double done = p.total > 0 ? static_cast<double>(p.step) / static_cast<double>(p.total) : 0;
  const auto full = std::min(kCells, static_cast<std::size_t>(done * kCells));
  bar_ =
      "[" + std::string(full, '#') + std::string(kCells - full, '.') + "] " + position(p) + "  " + numbers(p);
  bar_.resize(std::min(bar_.size(), terminal_width() - 1));
  redraw_line();
}

void Console::say(const std::string& text) {
  erase_line();
  std::fputs(text.c_str(), stdout);
  if (text.empty() || text.back() != '\n') std::fputc('\n', stdout);
  std::fflush(stdout);
  redraw_line();
}

}  // namespace rt
