#include <cmath>

#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/io/checkpoint.h"
#include "rt/io/safetensors.h"
#include "rt/train/trainer.h"

// What a run does about a step that is not finite, or too far from those before it.
namespace rt {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostInARow = 3;  // steps that are skipped: then something is broken
constexpr std::uint64_t kNowhere = UINT64_MAX;

}  // namespace

struct Trainer::BadStep {
  std::vector<data::Batch> batches;  // what it read
  double loss = 0;
  std::string what;  // "loss nan (micro 3), samples 120 to 127"
};

void Trainer::note_spikes(const StepReport& report) {
  if (report.spikes == spikes_seen_) return;
  spikes_seen_ = report.spikes;
  if (!team_->leads()) return;
  const config::SpikeSection& rule = config_.stability.spike;
  log::warn("stability",
            "step {}: loss {}, gradient norm {}: more than {} standard deviations above the last {} steps",
            report.spike_step - 1, report.spike.loss, report.spike.norm, rule.sigma, rule.window);
  metrics_->write({{"event", std::string("spike")},
                   {"step", static_cast<std::int64_t>(report.spike_step - 1)},
                   {"loss", report.spike.loss},
                   {"grad_norm", report.spike.norm}});
}

StepResult Trainer::recover(const StepReport& report) {
  // Weights and moments are those before the bad step, whatever was given after it: so is the rest from here
  // on.
  const std::uint64_t given = progress_.step - (report.step - 1);
  progress_.step -= given;
  progress_.tokens -= given * static_cast<std::uint64_t>(config_.batch.global_tokens);
  update_->forget();
  spikes_seen_ = 0;
  next_data_ = kNowhere;

  const BadStep bad = look_at(report);
  const double lr = schedule_.at(static_cast<std::int64_t>(progress_.step));
  const config::StabilitySection& rules = config_.stability;
  const bool finite = report.halted == Halt::Spike;
  if (finite ? rules.spike.action == config::SpikeAction::Rollback
             : rules.nonfinite == config::NonFinite::Rollback) {
    const std::string why = roll_back(bad);
    if (!why.empty()) stop(bad, why);
  } else if (finite || rules.nonfinite == config::NonFinite::Skip) {
    if (!skip(bad, report)) stop(bad, format(" The {} steps before it were skipped.", kMostInARow));
  } else {
    stop(bad, "");
  }
  return {.loss = bad.loss, .grad_norm = std::sqrt(report.sum_squares), .lr = lr};
}

Trainer::BadStep Trainer::look_at(const StepReport& report) const {
  BadStep bad;
  std::uint64_t predictions = 0;
  for (int micro = 0; micro < loader_->micro_batches(); ++micro) {
    bad.batches.push_back(loader_->at(progress_.data_step(), micro));
    predictions += bad.batches.back().predictions;
  }
  bad.loss = report.loss / static_cast<double>(std::max<std::uint64_t>(1, predictions));
  const std::int64_t rows = bad.batches.front().B;
  std::uint64_t first = bad.batches.front().first_sample, last = bad.batches.back().first_sample;
  if (report.halted == Halt::Spike) {
    bad.what = format("loss {}, gradient norm {}: too far above the steps before it", bad.loss,
                      std::sqrt(report.sum_squares));
  } else if (report.bad_loss >= 0) {
    const std::int64_t micro = report.bad_loss / rows / share_.slices;
    bad.what = format("loss {} (micro {})", bad.loss, micro);
    first = last = bad.batches[static_cast<std::size_t>(micro)].first_sample;
  } else {
    bad.what = format("{} gradients are not finite, loss {}", report.non_finite, bad.loss);
  }
  bad.what += format(", samples {} to {}", first, last + static_cast<std::uint64_t>(rows) - 1);
  return bad;
}

// The step has been taken, and nothing learned in it.
bool Trainer::skip(const BadStep& bad, const StepReport& report) {
  const bool in_a_row = progress_.skipped_in_a_row > 0 && progress_.last_skipped == progress_.step;
  const std::uint64_t row = in_a_row ? progress_.skipped_in_a_row + 1 : 1;
  if (row > kMostInARow) return false;
  progress_.skipped_in_a_row = row;
  ++progress_.skipped;
  progress_.last_skipped = ++progress_.step;
  progress_.tokens += static_cast<std::uint64_t>(config_.batch.global_tokens);
  if (!team_->leads()) return true;
  log::warn("stability", "step {}: {}. Skipped: weights untouched.", progress_.step - 1, bad.what);
  metrics_->write({{"event", std::string("skip")},
                   {"step", static_cast<std::int64_t>(progress_.step - 1)},
                   {"loss", bad.loss},
                   {"grad_norm", std::sqrt(report.sum_squares)}});
  return true;
}

std::string Trainer::roll_back(const BadStep& bad) {
  const config::RollbackSection& rules = config_.stability.rollback;
  if (progress_.rollbacks >= static_cast<std::uint64_t>(rules.max))
    return format(" It has gone back {} times already (stability.rollback.max).", progress_.rollbacks);
  finish_save();
  const auto newest = team_->leads() ? io::newest_good_checkpoint(dir_ / "checkpoints") : std::nullopt;
  const fs::path from = team_->tell("rollback", newest ? newest->dir.string() : "");
  if (from.empty()) return " There is no checkpoint to go back to.";

  const std::uint64_t bad_step = progress_.step;
  RunProgress back = load_run(from, *store_, *optimizer_);
  back.seconds = progress_.seconds;
  back.skips = progress_.skips;
  back.skips.push_back({bad_step, static_cast<std::uint64_t>(rules.skip_batches)});
  back.rollbacks = progress_.rollbacks + 1;
  back.skipped = progress_.skipped;
  progress_ = std::move(back);
  if (carried_) load_carried(from, *carried_);
  take_up();
  reported_tokens_ = progress_.tokens;
  if (!team_->leads()) return "";
  log::warn("stability",
            "step {}: {}. Back to step {}, and from step {} on without {} batches of data ({} of {} times).",
            bad_step, bad.what, progress_.step, bad_step, rules.skip_batches, progress_.rollbacks, rules.max);
  metrics_->write({{"event", std::string("rollback")},
                   {"step", static_cast<std::int64_t>(progress_.step)},
                   {"from", static_cast<std::int64_t>(bad_step)}});
  return "";
}

void Trainer::stop(const BadStep& bad, const std::string& why) {
  const fs::path dir = dir_ / "bad";
  fs::create_directories(dir);
  std::vector<io::NamedTensor> tensors;
  for (std::size_t i = 0; i < bad.batches.size(); ++i) {
    const BatchView view = view_of(bad.batches[i]);
    tensors.push_back({format("micro{}.tokens", i), view.tokens});
    tensors.push_back({format("micro{}.targets", i), view.targets});
    if (view.reset) tensors.push_back({format("micro{}.reset", i), view.reset});
  }
  const fs::path file = dir / format("step-{}.safetensors", progress_.step);
  if (team_->leads()) io::write_safetensors(file, tensors, {{"step", std::to_string(progress_.step)}});
  const fs::path saved = save();
  fail(Exit::NonFinite, "step {}: {}.{} Weights untouched, saved to {}. Batch kept in {}.", progress_.step,
       bad.what, why, saved.string(), file.string());
}

}  // namespace rt
