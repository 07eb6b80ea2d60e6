#include <algorithm>
#include <cmath>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/infer/model_file.h"
#include "rt/infer/session.h"
#include "rt/ops/linear_cross_entropy.h"
#include "rt/train/micro_step.h"
#include "rt/train/update.h"
#include "train/verify_report.h"

namespace rt::verification {
namespace {

constexpr double kL2Wrap = 1e-4;           // of the official trainers
constexpr std::int64_t kPromptChunk = 16;  // shorter than the golden sequences: both forms take part
constexpr double kUnsureMargin = 0.1;      // a step that bf16 may decide otherwise

struct Subject {
  LoadedModel& loaded;
  const VerifyOptions& options;
  TensorView tokens, targets;  // (B, T)
  ParamStore& store() const { return loaded.store; }
  const LanguageModel& model() const { return *loaded.model; }
  double count() const { return static_cast<double>(tokens.numel()); }
  std::span<const std::int32_t> first_row() const {
    return {tokens.as<std::int32_t>(), static_cast<std::size_t>(tokens.shape[1])};
  }
};

std::vector<std::string> state_names(const Subject& s) {
  std::vector<std::string> names;
  for (const StateField& field : s.model().state_fields(1)) names.push_back("state." + field.name);
  return names;
}

// Logits and final states of the whole batch at once. Returns the logits.
Values check_parallel_form(const Subject& s, Report& report) {
  Values logits;
  std::vector<Values> states;
  run_planned(s.options.impl, [&](ExecContext& ctx) {
    const TensorView tokens = stage(ctx, s.tokens, "tokens");
    Tape tape(ctx, Record::No);
    const LanguageModel::Out out =
        s.model().forward(tape, {.tokens = tape.input(tokens), .reset = {}, .state = {}});
    const Var all = s.model().logits(tape, out.hidden);
    if (ctx.dry_run) return;
    logits = read_values(tape.value(all));
    for (const Var state : out.state) states.push_back(read_values(tape.value(state).slice(0, 0, 1)));
  });
  report.add("logits", logits, Quantity::Logits);
  const std::vector<std::string> names = state_names(s);
  for (std::size_t i = 0; i < names.size(); ++i) report.add(names[i], states[i], Quantity::State);
  return logits;
}

// The head's loss op on given logits: with the identity as its weight, dx is d loss / d logits.
void check_l2wrap(const Subject& s, const Values& logits, Report& report) {
  const std::int64_t B = s.tokens.shape[0], T = s.tokens.shape[1], V = s.model().spec().vocab;
  const DType storage = s.store().types().compute;
  Tensor x({B, T, V}, storage), identity({V, V}, storage);
  Tensor gradient({B, T, V}, storage, device_of(s.options.impl));
  Tensor ones({B}, s.store().types().master);
  for (std::size_t i = 0; i < logits.size(); ++i)
    set_element(x.view, static_cast<std::int64_t>(i), logits[i]);
  for (std::int64_t v = 0; v < V; ++v) set_element(identity.view, v * V + v, 1.0);
  for (std::int64_t b = 0; b < B; ++b) set_element(ones.view, b, 1.0);
  run_planned(s.options.impl, [&](ExecContext& ctx) {
    const TensorView logits_here = stage(ctx, x.view, "logits"),
                     weight = stage(ctx, identity.view, "identity"),
                     targets = stage(ctx, s.targets, "targets"), seed = stage(ctx, ones.view, "seed");
    Tape tape(ctx, Record::Yes);
    const Var in = tape.input(logits_here, {gradient.view, GradMode::Overwrite});
    tape.seed(
        linear_cross_entropy(tape, in, tape.input(weight), tape.input(targets), 1.0 / s.count(), kL2Wrap),
        seed);
    tape.backward();
  });
  report.add("dlogits_l2wrap", read_values(gradient.view), Quantity::LogitsGradient);
}

void check_gradients(const Subject& s, const Golden& golden, Report& report) {
  NextToken objective(s.model(), 0.0, Recompute::None);
  const BatchView batch{s.tokens, s.targets, {}};
  double loss = 0;
  NormResult norm{};
  run_planned(s.options.impl, [&](ExecContext& ctx) {
    s.store().clear_grads();
    for (const double sum : micro_step(ctx, objective, batch, 1.0 / s.count())) loss += sum;
    s.store().finish_grads(ctx.stream);
    norm = gradient_norm(ctx, s.store().flat_grad());
  });
  report.add("loss", {loss / s.count()}, Quantity::Loss);
  report.add("grad_norm", {std::sqrt(norm.sum_squares)}, Quantity::GradNorm);
  for (const Parameter* p : s.store().parameters()) {
    const Values got = read_values(p->grad);
    const std::string name = "grad." + p->name;
    if (golden.contains(name)) {
      report.add(name, got, Quantity::ParameterGradient);
    } else {  // not in the golden's checkpoint: nothing may depend on it
      report.judge(name + " (unused)", p->grad.shape, got, Values(got.size()), Quantity::Exact);
    }
  }
}

// The model as an RNN: one token at a time, then in chunks.
void check_recurrent_form(const Subject& s, Golden& golden, Report& report) {
  Session session(s.model(), s.options.impl, s.store().types().compute, kPromptChunk);
  Values logits;
  for (const std::int32_t& token : s.first_row()) {
    for (const float logit : session.feed({&token, 1})) logits.push_back(static_cast<double>(logit));
  }
  Values want = golden.values("logits");
  want.resize(logits.size());
  const Shape row{s.tokens.shape[1], s.model().spec().vocab};
  report.judge("logits (row 0, step by step)", row, logits, want, Quantity::Logits);
  const std::vector<std::string> names = state_names(s);
  const auto states = [&](const std::string& how) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      report.add_another(names[i], how, read_values(session.state(i)), Quantity::State);
    }
  };
  states("step by step");
  session.reset();
  session.feed(s.first_row());
  states("in chunks");
}

// The continuation by the most likely token. bf16 is held to it up to the first step that it may decide
// otherwise; the rest would be a continuation of another text.
void check_greedy(const Subject& s, Golden& golden, Report& report) {
  const TensorView prompt = golden.ids("greedy_prompt", s.model().spec().vocab);
  const Values want = golden.values("greedy_tokens");
  const Values margins = golden.values("greedy_margin", static_cast<std::int64_t>(want.size()));
  Session session(s.model(), s.options.impl, s.store().types().compute, kPromptChunk);
  std::span<const float> logits =
      session.feed({prompt.as<std::int32_t>(), static_cast<std::size_t>(prompt.numel())});
  Values tokens, own_margins;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const auto best = std::max_element(logits.begin(), logits.end());
    const auto token = static_cast<std::int32_t>(best - logits.begin());
    float second = -INFINITY;
    for (auto other = logits.begin(); other != logits.end(); ++other) {
      if (other != best) second = std::max(second, *other);
    }
    tokens.push_back(token);
    own_margins.push_back(static_cast<double>(*best) - static_cast<double>(second));
    logits = session.feed({&token, 1});
  }
  report.keep("greedy_tokens", tokens);
  report.keep("greedy_margin", own_margins);
  std::size_t judged = want.size();
  if (s.options.impl != Impl::Ref && s.options.compute == DType::BF16) {
    const auto unsure =
        std::find_if(margins.begin(), margins.end(), [](double margin) { return margin < kUnsureMargin; });
    judged = static_cast<std::size_t>(unsure - margins.begin());
  }
  const Shape shape{static_cast<std::int64_t>(judged)};
  const auto first = [&](const Values& v) { return std::span(v).first(judged); };
  report.judge("greedy_tokens", shape, first(tokens), first(want), Quantity::Exact);
  report.judge("greedy_margin", shape, first(own_margins), first(margins), Quantity::Margin);
}

}  // namespace

void verify_model(Golden& golden, const VerifyOptions& options, Report& report) {
  const std::filesystem::path folder = std::filesystem::path(golden.path()).parent_path();
  const std::filesystem::path named = folder / golden.metadata("checkpoint");
  const auto loaded = load_model(std::filesystem::exists(named) ? named : find_weights(folder), options.impl,
                                 options.compute, true);
  const std::int64_t vocab = loaded->model->spec().vocab;
  const Subject subject{*loaded, options, golden.ids("tokens", vocab), golden.ids("targets", vocab)};
  if (subject.tokens.shape.rank() != 2 || subject.tokens.shape != subject.targets.shape) {
    fail(Exit::Checkpoint, "{}: tokens have shape {}, targets {}: expected (B, T) both.", golden.path(),
         subject.tokens.shape, subject.targets.shape);
  }
  const Values logits = check_parallel_form(subject, report);
  check_l2wrap(subject, logits, report);
  check_gradients(subject, golden, report);
  check_recurrent_form(subject, golden, report);
  check_greedy(subject, golden, report);
}

}  // namespace rt::verification
