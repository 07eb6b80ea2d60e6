#include <algorithm>
#include <cmath>
#include <limits>

#include "apps/bench.h"
#include "apps/model_options.h"
#include "rt/core/device_stats.h"
#include "rt/core/host.h"
#include "rt/core/parallel.h"
#include "rt/train/machine.h"
#include "rt/train/micro_step.h"
#include "rt/train/planner.h"
#include "rt/train/update.h"

namespace rt {
namespace {

struct StepOptions {
  std::string preset = "large", device = "auto", precision;
  std::int64_t layers = 0, width = 0, vocab = 0;  // 0: the preset's
  std::int64_t head_size = 64, seq_len = 512, micro = 0, accumulate = 1, steps = 3, threads = 0;
  bool recompute = false;
  std::optional<std::string> json;

  void resolve() {
    const bool small = preset == "small", huge = preset == "1.5b";
    if (layers == 0) layers = small ? 6 : huge ? 24 : 12;
    if (width == 0) width = small ? 256 : huge ? 2048 : 768;
    if (vocab == 0) vocab = small ? 256 : 65536;
    if (steps < 1 || seq_len < 1 || accumulate < 1) {
      fail(Exit::Config, "rwkv bench step: --steps, --seq-len and --accumulate must be at least 1.");
    }
    if (!precision.empty() && precision != "f32" && precision != "bf16") {
      fail(Exit::Config, "rwkv bench step: --precision: \"{}\" is not one of f32|bf16.", precision);
    }
  }
};

// The same description a config file gives, so that the planner's prediction is the one of a run.
RunConfig run_config(const StepOptions& o) {
  RunConfig config;
  config.device = parse_device(o.device);
  config.model.layers = o.layers;
  config.model.width = o.width;
  config.model.head_size = o.head_size;
  config.model.vocab = o.vocab;
  if (!o.precision.empty()) config.precision.compute = o.precision == "bf16" ? DType::BF16 : DType::F32;
  config.data.seq_len = o.seq_len;
  config.batch.micro_sequences = o.micro;
  config.batch.global_tokens = o.accumulate * o.micro * o.seq_len;
  config.budget.steps = o.steps;
  config.parallel.recompute = o.recompute ? config::Recompute::Block : config::Recompute::None;
  return config;
}

data::Batch random_batch(const StepOptions& o, std::uint64_t step) {
  data::Batch batch;
  batch.B = o.micro;
  batch.T = o.seq_len;
  const auto n = static_cast<std::size_t>(batch.B * batch.T);
  const Rng rng{step, 0};
  for (std::size_t i = 0; i < 2 * n; ++i) {
    const auto id = static_cast<std::int32_t>(rng.below(i, static_cast<std::uint64_t>(o.vocab)));
    (i < n ? batch.tokens : batch.targets).push_back(id);
  }
  batch.reset.resize(n);
  batch.reset[n / 2] = 1;
  return batch;
}

// The plan of as many sequences as keep the device busy and fit it, when none were asked for.
Plan plan_step(StepOptions& o, const ModelSpec& spec) {
  const Device device = parse_device(o.device);
  const bool choose = o.micro == 0;
  const std::int64_t most = device.kind == DeviceKind::Cpu ? 1 : kDeviceMicroTokens / o.seq_len;
  if (choose) o.micro = std::max<std::int64_t>(1, most);
  for (;; o.micro /= 2) {
    try {
      return make_plan(run_config(o), spec, memory_for(device));
    } catch (const Error& e) {
      if (!choose || o.micro == 1 || e.code() != Exit::Memory) throw;
    }
  }
}

// Bytes in use on a device; what is freed stays with its pool, so that this is also the peak.
std::size_t device_memory(Device device) {
  return device.kind == DeviceKind::Cuda && cuda::device_stats ? cuda::device_stats(device.index).memory_used
                                                               : 0;
}

struct Phases {
  double forward = 0, backward = 0, norm = 0, optimizer = 0;
  double total() const { return forward + backward + norm + optimizer; }
};

class StepBench {
 public:
  StepBench(const StepOptions& o, const RunConfig& config, const ModelSpec& spec, const Plan& plan)
      : options_(o),
        store_(plan.device, {DType::F32, compute_dtype(config)}),
        model_(spec, store_.root()),
        objective_(model_, config.objective.l2wrap, o.recompute ? Recompute::Block : Recompute::None),
        workspace_(plan.device, impl_of(plan.device), plan.saved, plan.scratch, plan.grad_pool) {
    store_.allocate();
    store_.initialize(Rng{1, 0});
    optimizer_ = std::make_unique<AdamW>(store_, AdamWOptions{});
    stepper_ =
        std::make_unique<MicroStepper>(workspace_.ctx(), objective_, store_, true, o.accumulate * o.micro);
    update_ = std::make_unique<Update>(workspace_.ctx(), store_, *optimizer_, kClip);
    scalars_ = Tensor({static_cast<std::int64_t>(sizeof(StepScalars))}, DType::U8, plan.device);
  }

  // `count` optimizer steps as the Trainer takes them between two looks at the loss. Returns their seconds.
  double whole_steps(std::uint64_t first, std::int64_t count) {
    std::vector<data::Batch> batches;
    const std::int64_t each = options_.accumulate;
    for (std::int64_t i = 0; i < count * each; ++i)
      batches.push_back(random_batch(options_, (first + 1) * 1000 + static_cast<std::uint64_t>(i)));
    const double begin = now_seconds(),
                 scale = 1.0 / static_cast<double>(each * options_.micro * options_.seq_len);
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t k = 0; k < each; ++k)
        stepper_->give(view_of(batches[static_cast<std::size_t>(i * each + k)]), scale, k == 0);
      update_->give(kRate, first + static_cast<std::uint64_t>(i) + 1, {.mine = stepper_->take_losses()});
    }
    check(update_->read().non_finite);
    return now_seconds() - begin;
  }

  // The same piece by piece, with the time of each part.
  Phases step(std::uint64_t number) {
    const data::Batch batch = random_batch(options_, number);
    Phases t;
    double at = now_seconds();
    const auto lap = [&at] {
      const double begin = at;
      at = now_seconds();
      return at - begin;
    };
    store_.clear_grads();
    forward_backward(view_of(batch), t, lap);
    store_.finish_grads(workspace_.ctx().stream);
    const NormResult norm = gradient_norm(workspace_.ctx(), store_.flat_grad());
    check(norm.non_finite);
    t.norm = lap();
    StepScalars scalars = step_scalars(optimizer_->options(), kRate, number + 1);
    const TensorView bytes(&scalars, scalars_.view.shape, DType::U8);
    copy(scalars_.view, bytes, workspace_.ctx().stream);
    optimizer_->step(workspace_.ctx(), reinterpret_cast<const StepScalars*>(scalars_.view.data));
    workspace_.ctx().stream.synchronize();
    t.optimizer = lap();
    return t;
  }

 private:
  static constexpr double kRate = 1e-4, kClip = 1.0;

  static void check(std::int64_t non_finite) {
    if (non_finite > 0) fail(Exit::NonFinite, "bench step: {} gradients are not finite.", non_finite);
  }

  template <class Lap>
  void forward_backward(const BatchView& batch, Phases& t, const Lap& lap) {
    ExecContext& ctx = workspace_.ctx();
    const ArenaScope saved(ctx.saved), scratch(ctx.scratch);
    const Tensor ones({options_.micro}, DType::F32);
    std::fill_n(ones.view.as<float>(), options_.micro, 1.0f);
    const TensorView seed = stage(ctx, ones.view, "loss.seed");
    const BatchView here = on_device(ctx, batch);
    Tape tape(ctx, Record::Yes);
    const Var loss =
        objective_.loss(tape, here, 1.0 / static_cast<double>(options_.micro * options_.seq_len));
    ctx.stream.synchronize();
    t.forward = lap();
    tape.seed(loss, seed);
    tape.backward();
    ctx.stream.synchronize();
    t.backward = lap();
  }

  const StepOptions& options_;
  ParamStore store_;
  LanguageModel model_;
  NextToken objective_;
  Workspace workspace_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<MicroStepper> stepper_;
  std::unique_ptr<Update> update_;
  Tensor scalars_;  // of a step that is taken piece by piece
};

void bench_step(StepOptions o) {
  const ModelSpec spec = model_spec(run_config(o).model, 0);
  const Device device = parse_device(o.device);
  BenchReport report("step");
  const DType compute = compute_dtype(run_config(o));
  const double before = measure_yardstick(device, compute).flops;
  const std::size_t used = device_memory(device);
  const Plan plan = plan_step(o, spec);
  const RunConfig config = run_config(o);
  report.text("model", format("{} layers, width {}, {} heads of {}, vocab {}, {} x {} x {} tokens, {} on {}",
                              spec.layers, spec.width, spec.heads(), spec.head_size, spec.vocab, o.accumulate,
                              o.micro, o.seq_len, name(compute), to_string(device)));
  report.value("parameters", double(plan.parameters), "");
  report.value("active_parameters", double(plan.active_parameters), "");
  const auto bench = std::make_unique<StepBench>(o, config, spec, plan);
  bench->step(0);
  Phases best = bench->step(1), sum = best;
  for (std::int64_t i = 1; i < o.steps; ++i) {
    const Phases now = bench->step(static_cast<std::uint64_t>(i + 1));
    if (now.total() < best.total()) best = now;
    sum = {sum.forward + now.forward, sum.backward + now.backward, sum.norm + now.norm,
           sum.optimizer + now.optimizer};
  }
  double mean = sum.total() / double(o.steps), fastest = best.total();
  if (device.kind == DeviceKind::Cuda || o.accumulate > 1) {
    // Whole steps, recorded and one after the other: the phases above each end by waiting for the device.
    auto next = static_cast<std::uint64_t>(o.steps + 1);
    const auto run = [&](std::int64_t count) {
      const double seconds = bench->whole_steps(next, count);
      next += static_cast<std::uint64_t>(count);
      return seconds / double(count);
    };
    run(3);
    constexpr int kRounds = 3;
    mean = 0;
    fastest = std::numeric_limits<double>::infinity();
    for (int round = 0; round < kRounds; ++round) {
      const double seconds = run(o.steps);
      mean += seconds / kRounds;
      fastest = std::min(fastest, seconds);
    }
  }
  const std::size_t peak = device.kind == DeviceKind::Cpu ? peak_rss_bytes() : device_memory(device) - used;
  const Yardstick yardstick = measure_yardstick(device, compute);
  const double tokens = double(plan.tokens_per_step), rate = (before + yardstick.flops) / 2;
  const auto phase = [&](const char* name, double all, double least) {
    report.value(std::string(name) + "_ms", 1e3 * all / double(o.steps), "ms");
    report.value(std::string(name) + "_best_step_ms", 1e3 * least, "ms");
  };
  phase("forward", sum.forward, best.forward);
  phase("backward", sum.backward, best.backward);
  phase("norm", sum.norm, best.norm);
  phase("optimizer", sum.optimizer, best.optimizer);
  report.value("step_ms", 1e3 * mean, "ms");
  report.value("step_best_ms", 1e3 * fastest, "ms");
  report.value("tokens_per_s", tokens / mean, "tokens/s");
  report.value("flops_per_token", plan.flops_per_token, "");
  report.value("model_rate", tokens * plan.flops_per_token / mean / 1e9, "GFLOP/s");
  const std::string matmul = yardstick.name;
  report.value(matmul + "_before", before / 1e9, "GFLOP/s");
  report.value(matmul + "_after", yardstick.flops / 1e9, "GFLOP/s");
  report.value("of_" + matmul, tokens * plan.flops_per_token / mean / rate, "");
  report.value("of_" + matmul + "_best_step", tokens * plan.flops_per_token / fastest / rate, "");
  if (yardstick.nominal > 0)
    report.value("mfu", tokens * plan.flops_per_token / mean / yardstick.nominal, "");
  report.value("memory_planned", double(plan.total()), "bytes");
  if (peak > 0) {
    report.value("memory_peak", double(peak), "bytes");
    report.value("memory_peak_over_planned", double(peak) / double(plan.total()), "");
  }
  report.write(o.json);
}

}  // namespace

int bench_step_main(int argc, char** argv) {
  StepOptions o;
  Options options("rwkv bench step", "Whole training steps on random tokens, against the matrix product.");
  options.choice("--preset", o.preset, {"large", "small", "1.5b"},
                 "large: 12 x 768, vocab 65536; small: 6 x 256, 256; 1.5b: 24 x 2048, 65536");
  options.text("--device", o.device, "auto (a GPU where there is one), cpu, cuda");
  options.count("--layers", o.layers, "Blocks; 0: the preset's");
  options.count("--width", o.width, "Channels; 0: the preset's");
  options.count("--vocab", o.vocab, "Vocabulary; 0: the preset's");
  options.count("--head-size", o.head_size, "Channels per head");
  options.count("--seq-len", o.seq_len, "Tokens of a sequence");
  options.count("--micro", o.micro,
                "Sequences of a micro-step; 0: one on the CPU, as many as fit and keep it busy on a GPU");
  options.count("--accumulate", o.accumulate,
                "Micro-steps of a step; its parts are timed with one, tokens/s with all");
  options.count("--steps", o.steps, "Timed steps, after one that is not");
  options.text("--precision", o.precision,
               "f32 or bf16, of weights and activations; default: the device's own");
  options.flag("--recompute", o.recompute, "Recompute each block in backward");
  options.count("--threads", o.threads, "Threads; 0: one per core");
  options.text("--json", o.json, "Also write the figures to this file");
  if (!options.parse(argc, argv)) return 0;
  o.resolve();
  use_threads(o.threads);
  bench_step(o);
  return 0;
}

}  // namespace rt
