#include "rt/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "rt/core/device_stats.h"
#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/core/parallel.h"
#include "rt/io/checkpoint.h"
#include "rt/io/safetensors.h"
#include "rt/train/machine.h"
#include "rt/train/micro_step.h"
#include "rt/train/signals.h"

namespace rt {

namespace fs = std::filesystem;

Trainer::~Trainer() { log::close_file(); }

// One word of all processes for both that may be asked of a run while it computes.
bool Trainer::stop_asked() {
  enum Asked { Nothing, Save, Stop };
  const std::string& file = config_.checkpoint.trigger_file;
  const auto trigger = [&] { return team_->leads() && !file.empty() && fs::exists(dir_ / file); };
  const int all = team_->most(SignalGuard::requested() != 0 ? Stop : trigger() ? Save : Nothing);
  save_asked_ = save_asked_ || all == Save;
  return all == Stop;
}

bool Trainer::give() {
  const ProfileRange range("step");
  // Of the batch and not of what is predicted in it, which a loss mask or padding changes from step to step:
  // a prediction weighs the same in every step.
  const double per_token = 1.0 / static_cast<double>(config_.batch.global_tokens);
  const int rounds = static_cast<int>(plan_.accumulation);
  std::uint64_t predictions = 0;
  StepLosses losses;
  const std::uint64_t data = progress_.data_step();
  if (data != next_data_) prefetcher_->seek(data);
  next_data_ = data + 1;
  for (int round = 0; round < rounds; ++round) {
    if (stop_asked()) return false;
    if (exchange_) exchange_->begin_round(round);
    const bool has_work = share_.has(round, loader_->micro_batches());
    if (has_work) {
      team_->enter("data wait");
      data::Batch batch = prefetcher_->next();
      keep_slice(batch, share_);
      team_->enter("compute");
      predictions += batch.predictions;
      losses.rows = batch.B;
      stepper_->give(view_of(batch), per_token, round == 0, batch.continues,
                     exchange_ && exchange_->overwrites(round));
      prefetcher_->recycle(std::move(batch));
    }
    if (exchange_) exchange_->end_round(has_work);
  }
  losses.mine = stepper_->take_losses();
  losses.predictions = static_cast<double>(predictions);
  losses.total = losses.rows * loader_->micro_batches() * share_.slices;
  let_save_read();  // what the update changes
  team_->enter("update");
  update_->give(schedule_.at(static_cast<std::int64_t>(progress_.step)), progress_.step + 1, losses);
  if (carried_) carried_->keep(update_->report());
  ++progress_.step;
  progress_.evals.clear();
  progress_.tokens += static_cast<std::uint64_t>(config_.batch.global_tokens);
  settled_ = false;
  predictions_ = predictions;
  team_->step_done(progress_.step);
  return true;
}

StepResult Trainer::settle() {
  if (settled_) return settled_with_;
  const StepReport report = update_->read();
  settled_ = true;
  note_spikes(report);
  if (report.halted != Halt::No) {
    if (exchange_) exchange_->await_values();
    return settled_with_ = recover(report);
  }
  double counted = static_cast<double>(predictions_);
  team_->sum({&counted, 1});
  // A loss mask may leave nothing of a batch to predict: its loss is a sum of nothing.
  const double predictions = std::max(counted, 1.0);
  settled_with_ = {.loss = report.loss / predictions,
                   .grad_norm = std::sqrt(report.sum_squares),
                   .lr = schedule_.at(static_cast<std::int64_t>(progress_.step) - 1)};
  return settled_with_;
}

StepResult Trainer::step() {
  if (!give()) return {.interrupted = true};
  return settle_all();
}

StepResult Trainer::settle_all() {
  const StepResult result = settle();
  if (exchange_) exchange_->await_values();
  return result;
}

double Trainer::elapsed() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
}

}  // namespace rt
