#include "rt/infer/session.h"

#include <algorithm>

#include "rt/core/error.h"
#include "rt/core/host.h"

namespace rt {

Session::Session(const LanguageModel& model, Impl impl, DType compute, std::int64_t prompt_chunk)
    : model_(model), chunk_(prompt_chunk), fields_(model.state_fields(1)) {
  for (const StateField& field : fields_)
    state_.emplace_back(field.shape, field.dtype(impl, compute), model.device());
  logits_.resize(static_cast<std::size_t>(model.spec().vocab));
  host_row_.resize(logits_.size() * sizeof(double));
  std::size_t saved = 0, scratch = 0;
  const std::vector<std::int32_t> tokens(static_cast<std::size_t>(chunk_));
  for (const std::size_t n : {std::size_t{1}, tokens.size()}) {
    Workspace plan(model.device(), impl);
    forward(plan.ctx(), std::span(tokens).first(n));
    saved = std::max(saved, plan.saved().high_water());
    scratch = std::max(scratch, plan.scratch().high_water());
  }
  position_ = 0;
  workspace_ = std::make_unique<Workspace>(model.device(), impl, saved, scratch, 0);
}

void Session::reset() {
  for (Tensor& t : state_) t.buffer.fill(0);
  position_ = 0;
}

void Session::forward(ExecContext& ctx, std::span<const std::int32_t> tokens) {
  const ArenaScope scope(ctx.saved);
  const auto T = static_cast<std::int64_t>(tokens.size());
  // The tape only reads its inputs.
  const TensorView host_ids(const_cast<std::int32_t*>(tokens.data()), {1, T}, DType::I32);
  const TensorView staged = stage(ctx, host_ids, "tokens");
  Tape tape(ctx, Record::No);
  const Var ids = tape.input(staged);
  VarList state;
  for (const Tensor& t : state_) state.push_back(tape.input(t.view));
  const LanguageModel::Out out = model_.forward(tape, {.tokens = ids, .reset = {}, .state = state});
  const TensorView hidden = tape.value(out.hidden);
  const TensorView last_row(hidden.slice(1, T - 1, T).data, {1, 1, hidden.shape.back()}, hidden.dtype,
                            hidden.device);
  const Var last = tape.adopt(last_row, false);
  const Var logits = model_.logits(tape, last);
  if (!ctx.dry_run) {
    for (std::size_t i = 0; i < state_.size(); ++i) {
      const TensorView& now = tape.value(out.state[i]);
      if (now.data != state_[i].view.data) copy(state_[i].view, now, ctx.stream);
    }
    const TensorView row = tape.value(logits), host(host_row_.data(), row.shape, row.dtype);
    fetch(ctx, host.data, row.data, row.nbytes());
    for (std::size_t v = 0; v < logits_.size(); ++v)
      logits_[v] = static_cast<float>(element(host, static_cast<std::int64_t>(v)));
  }
  position_ += tokens.size();
}

std::span<const float> Session::feed(std::span<const std::int32_t> tokens) {
  RT_CHECK(!tokens.empty(), "session: nothing to read");
  for (const std::int32_t id : tokens) {
    if (id < 0 || id >= model_.spec().vocab) {
      fail(Exit::Data, "token {} is outside the model's vocabulary of {}.", id, model_.spec().vocab);
    }
  }
  while (!tokens.empty()) {
    // A remainder shorter than a chunk goes token by token: the workspace is planned for these two lengths.
    const auto n = static_cast<std::int64_t>(tokens.size()) >= chunk_ ? static_cast<std::size_t>(chunk_) : 1;
    forward(workspace_->ctx(), tokens.first(n));
    tokens = tokens.subspan(n);
  }
  return logits_;
}

}  // namespace rt
