#include <algorithm>
#include <cmath>

#include "rt/core/log.h"
#include "rt/io/checkpoint.h"
#include "rt/train/signals.h"
#include "rt/train/trainer.h"

// When a run saves, and when it does not.
namespace rt {

namespace fs = std::filesystem;

namespace {
constexpr std::chrono::minutes kSaveAllowed(30);
}  // namespace

void Trainer::begin_save() {
  settle_all();
  finish_save();
  progress_.seconds += elapsed();
  started_ = last_save_ = std::chrono::steady_clock::now();
  progress_.data_fingerprint = loader_->fingerprint();
  progress_.window = update_->window();
  begun_step_ = progress_.step;
  team_->enter("save", kSaveAllowed);
  saver_->begin(progress_);
}

void Trainer::let_save_read() {
  if (!saver_->busy()) return;
  team_->enter("save", kSaveAllowed);
  saver_->read();
  if (saver_->done()) finish_save();
}

void Trainer::finish_save() {
  if (!saver_->busy()) return;
  team_->enter("save", kSaveAllowed);
  const auto saved = saver_->finish();
  saved_step_ = saved->step;
  has_saved_ = true;
  save_wait_ += saved->waited;
  save_seconds_ = saved->seconds;
}

fs::path Trainer::save() {
  begin_save();
  finish_save();
  return dir_ / "checkpoints" / io::checkpoint_name(saved_step_);
}

void Trainer::save_if_due() {
  const config::CheckpointEvery& every = config_.checkpoint.every;
  const bool by_step = every.steps && progress_.step % static_cast<std::uint64_t>(*every.steps) == 0;
  // Steps are the same in all processes, clocks are not.
  const auto by_time = [&] {
    return every.time && team_->any(std::chrono::steady_clock::now() - last_save_ >= *every.time);
  };
  const bool due = by_step || by_time();
  if ((due || save_asked_) && begun_step_ != progress_.step) begin_save();
  if (!save_asked_) return;
  save_asked_ = false;
  std::error_code ignored;
  if (team_->leads()) fs::remove(dir_ / config_.checkpoint.trigger_file, ignored);
}

bool Trainer::found_better() {
  const auto& best = config_.checkpoint.keep.best;
  if (!best) return false;
  finish_save();
  const auto better = [&] {
    const auto kept = measured(dir_ / "checkpoints", best->metric);
    const auto n = static_cast<std::size_t>(best->n);
    return kept.size() < n || progress_.evals.at(best->metric) < kept[n - 1].first;
  };
  return team_->any(team_->leads() && better());
}

// Whoever sent the signal will not wait for ever: what would be cut off in the middle is not begun.
bool Trainer::too_late_to_save() {
  if (!has_saved_ || SignalGuard::requested() == 0) return false;
  const double left =
      static_cast<double>(config_.checkpoint.grace.count()) - SignalGuard::seconds_since_request();
  if (save_seconds_ <= left) return false;
  log::warn("run", "the last save took {} s, and {} s of checkpoint.grace are left: the run keeps {}.",
            std::round(save_seconds_ * 100) / 100, std::round(std::max(0.0, left) * 100) / 100,
            io::checkpoint_name(saved_step_));
  return true;
}

}  // namespace rt
