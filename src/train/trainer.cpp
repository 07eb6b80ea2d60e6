#include "rt/train/trainer.h"

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
#include "rt/train/update.h"

namespace rt {

namespace fs = std::filesystem;

Trainer::~Trainer() { log::close_file(); }

StepResult Trainer::step() {
  StepResult result;
  result.lr = schedule_.at(static_cast<std::int64_t>(progress_.step));
  const auto tokens = static_cast<double>(config_.batch.global_tokens);
  const ProfileRange range("step");
  std::vector<data::Batch> batches;  // kept for the report, should something not be finite
  for (int micro = 0; micro < loader_->micro_batches(); ++micro) {
    if (SignalGuard::requested() != 0) {
      result.interrupted = true;
      return result;
    }
    batches.push_back(prefetcher_->next());
    stepper_->give(view_of(batches.back()), 1.0 / tokens, micro == 0);
  }
  store_->finish_grads(workspace_->ctx().stream);
  // The one wait of a step: what it computed is looked at before any weight changes.
  const NormResult norm = gradient_norm(workspace_->ctx(), store_->flat_grad());
  const std::vector<double> sums = stepper_->losses();
  double loss = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    loss += sums[i];
    if (std::isfinite(loss)) continue;
    const auto micro = static_cast<int>(i * batches.size() / sums.size());
    stop_non_finite(batches, micro, format("loss {}", loss));
  }
  result.loss = loss / tokens;
  result.grad_norm = std::sqrt(norm.sum_squares);
  if (norm.non_finite > 0) {
    stop_non_finite(batches, -1,
                    format("{} gradients are not finite, loss {}", norm.non_finite, result.loss));
  }
  optimizer_->step(workspace_->ctx(),
                   step_scalars(optimizer_->options(), result.lr, config_.optimizer.grad_clip,
                                result.grad_norm, progress_.step + 1));
  for (data::Batch& batch : batches) prefetcher_->recycle(std::move(batch));
  ++progress_.step;
  progress_.tokens += static_cast<std::uint64_t>(config_.batch.global_tokens);
  return result;
}

void Trainer::stop_non_finite(const std::vector<data::Batch>& batches, int micro, const std::string& what) {
  const fs::path dir = dir_ / "bad";
  fs::create_directories(dir);
  std::vector<io::NamedTensor> tensors;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const BatchView view = view_of(batches[i]);
    tensors.push_back({format("micro{}.tokens", i), view.tokens});
    tensors.push_back({format("micro{}.targets", i), view.targets});
    if (view.reset) tensors.push_back({format("micro{}.reset", i), view.reset});
  }
  const fs::path file = dir / format("step-{}.safetensors", progress_.step);
  io::write_safetensors(file, tensors, {{"step", std::to_string(progress_.step)}});
  const data::Batch& last = micro < 0 ? batches.back() : batches[static_cast<std::size_t>(micro)];
  const std::uint64_t first = micro < 0 ? batches.front().first_sample : last.first_sample;
  const std::uint64_t end = last.first_sample + static_cast<std::uint64_t>(last.B);
  const fs::path saved = save();
  fail(Exit::NonFinite, "step {}: {}{}, samples {} to {}. Weights untouched, saved to {}. Batch kept in {}.",
       progress_.step, what, micro < 0 ? "" : format(" (micro {})", micro), first, end - 1, saved.string(),
       file.string());
}

fs::path Trainer::save() {
  const ProfileRange range("checkpoint");
  progress_.seconds += elapsed();
  started_ = std::chrono::steady_clock::now();
  progress_.data_fingerprint = loader_->fingerprint();
  const fs::path root = dir_ / "checkpoints";
  const auto begin = std::chrono::steady_clock::now();
  fs::path path = save_run(root, progress_, config_.dump(), *store_, *optimizer_, corpus_->tokenizer());
  io::Retention keep;
  keep.last = static_cast<std::size_t>(config_.checkpoint.keep.last);
  keep.every_steps = static_cast<std::uint64_t>(config_.checkpoint.keep.every_steps.value_or(0));
  io::prune_checkpoints(root, keep);
  last_save_ = std::chrono::steady_clock::now();
  saved_step_ = progress_.step;
  has_saved_ = true;
  log::info("checkpoint", "saved {}, seconds={}", path.string(),
            std::round(std::chrono::duration<double>(last_save_ - begin).count() * 1000) / 1000);
  return path;
}

double Trainer::elapsed() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
}

}  // namespace rt
