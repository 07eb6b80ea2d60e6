#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>

#include "apps/eval.h"
#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/io/archive.h"
#include "rt/train/evaluation.h"

namespace rt {
namespace {

std::int64_t non_finite(const TensorView& view) {
  std::int64_t count = 0;
  const HostTensor host(view);
  for (std::int64_t i = 0; i < view.numel(); ++i) count += !std::isfinite(element(host.view(), i));
  return count;
}

BatchView read_micro(const io::TensorArchive& archive, int micro) {
  const auto tensor = [&](const char* what) {
    const std::string name = format("micro{}.{}", micro, what);
    return archive.contains(name) ? archive.tensor(name) : TensorView();
  };
  BatchView batch{tensor("tokens"), tensor("targets"), tensor("reset")};
  const std::string path = archive.path().string();
  if (!batch.targets || batch.targets.shape != batch.tokens.shape || batch.tokens.shape.rank() != 2 ||
      batch.tokens.dtype != DType::I32 || batch.targets.dtype != DType::I32 ||
      (batch.reset && (batch.reset.shape != batch.tokens.shape || batch.reset.dtype != DType::U8))) {
    fail(Exit::Data, "{}: micro{}.tokens, targets and reset do not fit together.", path, micro);
  }
  return batch;
}

void check_ids(const TensorView& ids, std::int64_t least, std::int64_t vocab, const std::string& path) {
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const std::int32_t id = ids.as<std::int32_t>()[i];
    if (id < least || id >= vocab) {
      fail(Exit::Data, "{}: token {} is outside the model's vocabulary of {}.", path, id, vocab);
    }
  }
}

// The first part of the model whose output is not finite; empty when every part before the loss is.
std::string first_bad_part(Device device, const LanguageModel& model, const BatchView& batch) {
  const auto layers = static_cast<int>(model.spec().layers);
  std::string bad;
  const auto run = [&](ExecContext& ctx) {
    const TensorView tokens = stage(ctx, batch.tokens, "tokens"), resets = stage(ctx, batch.reset, "reset");
    Tape tape(ctx, Record::No);
    Taps taps;
    for (int i = 0; i < layers; ++i) taps.want(i, TapKind::BlockOut);
    const Var reset = resets ? tape.input(resets) : Var{};
    const auto out =
        model.forward(tape, {.tokens = tape.input(tokens), .reset = reset, .state = {}, .taps = &taps});
    const auto look = [&](Var v, const std::string& part) {
      if (!ctx.dry_run && bad.empty() && non_finite(tape.value(v)) > 0) bad = part;
    };
    for (int i = 0; i < layers; ++i) look(taps.get(i, TapKind::BlockOut), format("block {}", i));
    look(out.hidden, "the last norm");
  };
  Workspace measure(device, impl_of(device));
  run(measure.ctx());
  Workspace live(device, impl_of(device), measure.saved().high_water(), measure.scratch().high_water(), 0);
  run(live.ctx());
  return bad;
}

}  // namespace

void eval_kept_batch(LoadedModel& loaded, const std::string& file) {
  const io::TensorArchive archive = io::open_archive(file);
  if (!archive.contains("micro0.tokens")) fail(Exit::Data, "{}: holds no batch (micro0.tokens).", file);
  std::int64_t bad_parameters = 0;
  for (const Parameter* p : loaded.store.parameters()) {
    const std::int64_t n = non_finite(p->master);
    if (n > 0) std::printf("parameter %s: %lld not finite\n", p->name.c_str(), static_cast<long long>(n));
    bad_parameters += n;
  }
  std::printf("parameters: %lld not finite\n", static_cast<long long>(bad_parameters));
  for (int micro = 0; archive.contains(format("micro{}.tokens", micro)); ++micro) {
    const BatchView batch = read_micro(archive, micro);
    const std::int64_t rows = batch.tokens.shape[0], T = batch.tokens.shape[1];
    check_ids(batch.tokens, 0, loaded.model->spec().vocab, file);
    check_ids(batch.targets, data::kIgnoreTarget, loaded.model->spec().vocab, file);
    const auto workspace =
        plan_evaluation(loaded.store.device(), *loaded.model, rows, T, static_cast<bool>(batch.reset));
    const std::vector<double> losses = next_token_losses(workspace->ctx(), *loaded.model, batch);
    for (std::int64_t b = 0; b < rows; ++b) {
      const auto* targets = batch.targets.as<std::int32_t>() + b * T;
      const auto counted = std::count_if(targets, targets + T, [](std::int32_t id) { return id >= 0; });
      std::printf("micro %d sequence %lld: loss %.6f over %lld tokens\n", micro, static_cast<long long>(b),
                  std::accumulate(losses.begin() + b * T, losses.begin() + (b + 1) * T, 0.0) /
                      std::max<double>(1, static_cast<double>(counted)),
                  static_cast<long long>(counted));
    }
    const bool finite = std::all_of(losses.begin(), losses.end(), [](double v) { return std::isfinite(v); });
    std::string part = first_bad_part(loaded.store.device(), *loaded.model, batch);
    if (part.empty() && !finite) part = "the head";
    if (!part.empty()) std::printf("micro %d: the first that is not finite is %s\n", micro, part.c_str());
  }
}

}  // namespace rt
