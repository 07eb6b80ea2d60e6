#include "rt/train/saver.h"

#include <cmath>
#include <thread>

#include "rt/core/device_stats.h"
#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/core/thread_signals.h"
#include "rt/train/machine.h"
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

Saver::Saver(Source source, bool background) : source_(std::move(source)), background_(background) {
  if (background_) make_room();
}

// Now, so that no save waits for it. All of a machine's processes look at once.
void Saver::make_room() {
  const std::size_t bytes = RunTensors(*source_.store, *source_.optimizer, nullptr, crew()).device_bytes();
  if (bytes == 0) return;
  const auto neighbours = static_cast<std::size_t>(source_.team->launch().local_world);
  const std::size_t available = available_memory_bytes();
  std::string why;
  if (available / 2 / neighbours < bytes) {
    why = format("{} of host memory are left", human_bytes(static_cast<double>(available)));
  } else {
    try {
      room_ = PinnedBuffer(bytes);
    } catch (const Error& e) { why = e.what(); }
  }
  if (why.empty()) return;
  log::warn("checkpoint",
            "steps will wait for the disk when they meet a save: a copy of what is saved takes {}"
            " of page-locked host memory: {}",
            human_bytes(static_cast<double>(bytes)), why);
}

io::SaveCrew Saver::crew() {
  return {source_.team->rank(), source_.team->size(), [this](const std::string& text) {
            return source_.team->gather(format("save/{}", ++calls_), text);
          }};
}

Saver::~Saver() {
  if (saving_.valid()) saving_.wait();
}

void Saver::begin(const RunProgress& progress) {
  RT_CHECK(!saving_.valid(), "a checkpoint of step {} was begun before the last one was done", progress.step);
  std::promise<void> reading;
  read_ = reading.get_future();
  waited_ = 0;
  saving_ = std::async(background_ ? std::launch::async : std::launch::deferred,
                       [this, progress, reading = std::move(reading)]() mutable {
                         if (background_) leave_signals_to_others();
                         return write(progress, std::move(reading));
                       });
  if (!background_) saving_.wait();
}

void Saver::read() {
  if (!saving_.valid()) return;
  const auto begin = Clock::now();
  read_.wait();
  waited_ += seconds_since(begin);
}

bool Saver::done() const {
  return saving_.valid() && saving_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

std::optional<Saver::Saved> Saver::finish() {
  if (!saving_.valid()) return std::nullopt;
  const auto begin = Clock::now();
  Saved saved = saving_.get();
  saved.waited = background_ ? waited_ + seconds_since(begin) : saved.seconds;
  last_step_ = saved.step;
  any_ = true;
  log::info("checkpoint", "saved {}, seconds={}, waited={}", saved.dir.string(),
            std::round(saved.seconds * 1000) / 1000, std::round(saved.waited * 1000) / 1000);
  return saved;
}

Saver::Saved Saver::write(const RunProgress& progress, std::promise<void> reading) {
  const ProfileRange range("checkpoint");
  const auto begin = Clock::now();
  const io::SaveCrew crew = this->crew();
  RunTensors tensors(*source_.store, *source_.optimizer, source_.carried, crew);
  const bool copied = room_.bytes() > 0;
  if (copied) {
    tensors.move_to(room_.data());
    reading.set_value();
  }
  const fs::path dir = write_to_disk(progress, tensors, crew);
  if (!copied) reading.set_value();
  if (crew.leads()) prune();
  return {dir, progress.step, seconds_since(begin), 0};
}

fs::path Saver::write_to_disk(const RunProgress& progress, const RunTensors& tensors,
                              const io::SaveCrew& crew) {
  int full = 0;
  for (;;) {
    try {
      return save_run(source_.root, progress, source_.config, tensors, *source_.tokenizer, crew);
    } catch (const io::DiskFull& e) {
      log::warn("checkpoint", "{} Trying again in {} s; the last checkpoint is as it was.", e.what(),
                kTryAgain.count());
    }
    // Where somebody waits for the process to end, that has its end. (A second signal ends it at once.)
    const std::string mine = SignalGuard::requested() != 0 ? "stop" : "";
    bool stop = mine == "stop";
    if (crew.size > 1)
      for (const std::string& said : crew.gather(mine)) stop = stop || said == "stop";
    if (stop && ++full >= kMostTries) {
      fail(Exit::Checkpoint, "step {}: stopped, and the disk is full: what was trained since {} is lost.",
           progress.step, any_ ? io::checkpoint_name(last_step_) : "the start");
    }
    std::this_thread::sleep_for(kTryAgain);
  }
}

void Saver::prune() const {
  io::Retention keep = source_.keep;
  if (source_.best) {
    for (const auto& [value, step] : measured(source_.root, source_.best->metric))
      if (keep.steps.size() < static_cast<std::size_t>(source_.best->n)) keep.steps.push_back(step);
  }
  try {
    io::prune_checkpoints(source_.root, keep);
  } catch (const io::DiskFull& e) {
    // This one is written, and what was saved of it may have changed by now.
    log::warn("checkpoint", "{} Older checkpoints stay until the next one is saved.", e.what());
  }
}

}  // namespace rt
