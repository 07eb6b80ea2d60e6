#include "rt/train/saver.h"

#include <cmath>
#include <thread>

#include "rt/core/device_stats.h"
#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/core/thread_signals.h"
#include "rt/train/signals.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kTryAgain(5);
constexpr int kMostTries = 6;  // once somebody waits for the process to end

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

Saver::~Saver() {
  if (saving_.valid()) saving_.wait();
}

void Saver::begin(const RunProgress& progress) {
  RT_CHECK(!saving_.valid(), "a checkpoint of step {} was begun before the last one was done", progress.step);
  saving_ = std::async(background_ ? std::launch::async : std::launch::deferred, [this, progress] {
    if (background_) leave_signals_to_others();
    return write(progress);
  });
  if (!background_) saving_.wait();
}

std::optional<Saver::Saved> Saver::finish() {
  if (!saving_.valid()) return std::nullopt;
  const auto begin = Clock::now();
  Saved saved = saving_.get();
  saved.waited = background_ ? seconds_since(begin) : saved.seconds;
  last_step_ = saved.step;
  any_ = true;
  log::info("checkpoint", "saved {}, seconds={}, waited={}", saved.dir.string(),
            std::round(saved.seconds * 1000) / 1000, std::round(saved.waited * 1000) / 1000);
  return saved;
}

Saver::Saved Saver::write(const RunProgress& progress) {
  const ProfileRange range("checkpoint");
  const auto begin = Clock::now();
  Team& team = *source_.team;
  int full = 0;
  const io::SaveCrew crew{team.rank(), team.size(), [&](const std::string& text) {
                            return team.gather(format("save/{}", ++calls_), text);
                          }};
  for (;;) {
    try {
      const fs::path dir = try_to_write(progress, crew);
      return {dir, progress.step, seconds_since(begin), 0};
    } catch (const io::DiskFull& e) {
      log::warn("checkpoint", "{} Trying again in {} s; the last checkpoint is as it was.", e.what(),
                kTryAgain.count());
    }
    // Where somebody waits for the process to end, that has its end. (A second signal ends it at once.)
    const std::string mine = SignalGuard::requested() != 0 ? "stop" : "";
    bool stop = mine == "stop";
    if (team.size() > 1)
      for (const std::string& said : crew.gather(mine)) stop = stop || said == "stop";
    if (stop && ++full >= kMostTries) {
      fail(Exit::Checkpoint, "step {}: stopped, and the disk is full: what was trained since {} is lost.",
           progress.step, any_ ? io::checkpoint_name(last_step_) : "the start");
    }
    std::this_thread::sleep_for(kTryAgain);
  }
}

fs::path Saver::try_to_write(const RunProgress& progress, const io::SaveCrew& crew) {
  fs::path dir = save_run(source_.root, progress, source_.config, *source_.store, *source_.optimizer,
                          source_.carried, *source_.tokenizer, crew);
  if (!crew.leads()) return dir;
  io::Retention keep = source_.keep;
  if (source_.best) {
    for (const auto& [value, step] : measured(source_.root, source_.best->metric))
      if (keep.steps.size() < static_cast<std::size_t>(source_.best->n)) keep.steps.push_back(step);
  }
  io::prune_checkpoints(source_.root, keep);
  return dir;
}

}  // namespace rt
