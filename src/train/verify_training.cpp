#include <cmath>
#include <nlohmann/json.hpp>

#include "rt/core/error.h"
#include "rt/infer/model_file.h"
#include "rt/train/micro_step.h"
#include "rt/train/update.h"
#include "train/verify_report.h"

namespace rt::verification {
namespace {

namespace fs = std::filesystem;

constexpr double kL2Wrap = 1e-4;
constexpr double kWeightDecay = 0.1;

struct Recipe {
  AdamWOptions optimizer;
  double clip = 0;  // 0: none
  double l2wrap = 0;
};

struct History {
  Values loss, grad_norm;
};

// The checkpoint's path is written from the goldens' root; a copy may have the file anywhere beside.
fs::path initial_checkpoint(const Golden& golden) {
  const fs::path stated = golden.metadata("initial_checkpoint");
  const fs::path file = fs::absolute(golden.path());
  const fs::path from_models = stated.parent_path().filename() / stated.filename();
  for (fs::path dir = file.parent_path(); dir != dir.parent_path(); dir = dir.parent_path()) {
    for (const fs::path& candidate : {dir / stated, dir / from_models}) {
      if (fs::exists(candidate)) return candidate;
    }
  }
  if (fs::exists(file.parent_path() / stated.filename())) return file.parent_path() / stated.filename();
  fail(Exit::Checkpoint, "{}: its initial checkpoint {} is in no folder above it. Copy it beside the file.",
       golden.path(), stated.string());
}

double number(const Golden& golden, const std::string& key, const std::string& text) {
  try {
    return std::stod(text);
  } catch (const std::exception&) {
    fail(Exit::Checkpoint, "{}: metadata {}: \"{}\" is not a number.", golden.path(), key, text);
  }
}

Recipe stated_recipe(const Golden& golden) {
  const std::string betas = golden.metadata("betas");
  const std::size_t comma = std::min(betas.find(','), betas.size() - 1);
  Recipe recipe;
  recipe.optimizer = {.beta1 = number(golden, "betas", betas.substr(0, comma)),
                      .beta2 = number(golden, "betas", betas.substr(comma + 1)),
                      .eps = number(golden, "eps", golden.metadata("eps")),
                      .weight_decay = kWeightDecay};
  recipe.clip = number(golden, "grad_clip", golden.metadata("grad_clip"));
  return recipe;
}

// The model's own learning-rate scales and decays against the golden's list, one line for all and one for
// each that differs.
void check_groups(const Golden& golden, const ParamStore& store, Report& report) {
  const std::string key = "param_lr_scale_and_weight_decay";
  std::map<std::string, std::vector<double>> stated;
  try {
    nlohmann::json::parse(golden.metadata(key)).get_to(stated);
  } catch (const nlohmann::json::exception&) {
    fail(Exit::Checkpoint, "{}: metadata {} is not a map of [scale, decay].", golden.path(), key);
  }
  Values got, want;
  for (const Parameter* p : store.parameters()) {
    const Values own{static_cast<double>(p->lr_scale), kWeightDecay * static_cast<double>(p->decay_scale)};
    const auto found = stated.find(p->name);
    const Values expected = found == stated.end() ? Values{NAN, NAN} : found->second;
    got.insert(got.end(), own.begin(), own.end());
    want.insert(want.end(), expected.begin(), expected.end());
    if (own != expected) report.judge("group of " + p->name, {2}, own, expected, Quantity::Exact);
    if (found != stated.end()) stated.erase(found);
  }
  for (const auto& [name, group] : stated) report.fail("group of " + name + " (no such parameter)", {2});
  report.judge("learning-rate scales, decays", {static_cast<std::int64_t>(got.size() / 2), 2}, got, want,
               Quantity::Exact);
}

class Run {
 public:
  Run(LoadedModel& loaded, const VerifyOptions& options, const Recipe& recipe)
      : store_(loaded.store),
        recipe_(recipe),
        objective_(*loaded.model, recipe.l2wrap, Recompute::None),
        optimizer_(loaded.store, recipe.optimizer),
        options_(options) {
    load_parameters(store_, io::open_archive(loaded.file));
  }

  // tokens, targets (steps, B, T); lr (steps).
  History train(const TensorView& tokens, const TensorView& targets, const Values& lr) {
    const Device device = device_of(options_.impl);
    Workspace plan(device, options_.impl);
    Update planned(plan.ctx(), store_, optimizer_, recipe_.clip);
    step(plan.ctx(), planned, batch(tokens, targets, 0), lr[0], 1);
    Workspace live(device, options_.impl, plan.saved().high_water(), plan.scratch().high_water(),
                   plan.grads().high_water());
    Update update(live.ctx(), store_, optimizer_, recipe_.clip);
    History history;
    for (std::size_t i = 0; i < lr.size(); ++i) {
      const auto [loss, grad_norm] =
          step(live.ctx(), update, batch(tokens, targets, static_cast<std::int64_t>(i)), lr[i], i + 1);
      history.loss.push_back(loss);
      history.grad_norm.push_back(grad_norm);
    }
    return history;
  }

 private:
  static BatchView batch(const TensorView& tokens, const TensorView& targets, std::int64_t i) {
    const Shape shape{tokens.shape[1], tokens.shape[2]};
    return {tokens.slice(0, i, i + 1).reshape(shape), targets.slice(0, i, i + 1).reshape(shape), {}};
  }

  // t counts from 1.
  std::pair<double, double> step(ExecContext& ctx, Update& update, const BatchView& batch, double lr,
                                 std::uint64_t t) {
    const auto count = static_cast<double>(batch.tokens.numel());
    store_.clear_grads();
    double loss = 0;
    for (const double sum : micro_step(ctx, objective_, batch, 1.0 / count)) loss += sum;
    update.give(lr, t, {});
    return {loss / count, std::sqrt(update.read().sum_squares)};
  }

  ParamStore& store_;
  Recipe recipe_;
  NextToken objective_;
  AdamW optimizer_;
  const VerifyOptions& options_;
};

// Each parameter relative to how far it went, then all together.
void check_final(const ParamStore& store, const std::vector<Values>& initial, Golden& golden,
                 Report& report) {
  Values all_got, all_want, all_moved;
  for (std::size_t i = 0; i < initial.size(); ++i) {
    const Parameter& p = *store.parameters()[i];
    const Values got = read_values(p.master), want = golden.values("final." + p.name, p.master.numel());
    Values moved = want;
    for (std::size_t k = 0; k < want.size(); ++k) moved[k] -= initial[i][k];
    report.judge("final." + p.name, p.master.shape, got, want, Quantity::Final, verification::norm(moved));
    report.keep("final." + p.name, got);
    all_got.insert(all_got.end(), got.begin(), got.end());
    all_want.insert(all_want.end(), want.begin(), want.end());
    all_moved.insert(all_moved.end(), moved.begin(), moved.end());
  }
  report.judge("final, all parameters", {static_cast<std::int64_t>(all_got.size())}, all_got, all_want,
               Quantity::Final, verification::norm(all_moved));
}

}  // namespace

void verify_training(Golden& golden, const VerifyOptions& options, Report& report) {
  const Recipe stated = stated_recipe(golden);
  const auto loaded = load_model(initial_checkpoint(golden), options.impl, options.compute, true);
  check_groups(golden, loaded->store, report);
  const std::int64_t vocab = loaded->model->spec().vocab;
  const TensorView tokens = golden.ids("tokens", vocab), targets = golden.ids("targets", vocab);
  const Values lr = golden.values("lr");
  if (tokens.shape.rank() != 3 || tokens.shape != targets.shape || lr.empty() ||
      tokens.shape[0] != static_cast<std::int64_t>(lr.size())) {
    fail(Exit::Checkpoint, "{}: tokens {}, targets {}, {} learning rates: expected (steps, B, T).",
         golden.path(), tokens.shape, targets.shape, lr.size());
  }
  std::vector<Values> initial;
  for (const Parameter* p : loaded->store.parameters()) initial.push_back(read_values(p->master));
  for (const std::string prefix : {"", "noclip.", "l2wrap."}) {
    if (!golden.contains(prefix + "loss")) continue;
    Recipe recipe = stated;
    if (prefix == "noclip.") recipe.clip = 0;
    if (prefix == "l2wrap.") recipe.l2wrap = kL2Wrap;
    const History history = Run(*loaded, options, recipe).train(tokens, targets, lr);
    report.add(prefix + "loss", history.loss, Quantity::TrainingLoss);
    report.add(prefix + "grad_norm", history.grad_norm, Quantity::TrainingGradNorm);
    if (prefix.empty()) check_final(loaded->store, initial, golden, report);
  }
}

}  // namespace rt::verification
