#include "rt/train/planner.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "rt/core/device_api.h"
#include "rt/core/error.h"
#include "rt/infer/scorer.h"
#include "rt/ops/gemm_rate.h"
#include "rt/train/evaluation.h"
#include "rt/train/machine.h"
#include "rt/train/micro_step.h"
#include "rt/train/run_loader.h"
#include "rt/train/share.h"
#include "rt/train/team.h"
#include "rt/train/update.h"

namespace rt {
namespace {

std::vector<AllocRecord> by_name(std::span<const AllocRecord> records) {
  std::map<std::string, std::size_t> totals;
  for (const AllocRecord& r : records) totals[r.name] += r.bytes;
  std::vector<AllocRecord> sorted;
  sorted.reserve(totals.size());
  for (const auto& [name, bytes] : totals) sorted.push_back({name, bytes});
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  return sorted;
}

// What the number of micro-batches is to be a multiple of, so that no process is without one while others
// have.
std::int64_t micro_batches_wanted(const RunConfig& config, std::int64_t sequences, int ranks) {
  std::int64_t share = config.run.deterministic ? GradientTree::kLeaves : 1;
  while (sequences % share != 0) share /= 2;
  const std::int64_t both = std::lcm(share, std::int64_t{ranks});
  if (sequences % both == 0) return both;
  return share >= ranks ? share : sequences;
}

}  // namespace

double training_flops_per_token(const ModelSpec& spec, std::int64_t active_parameters) {
  const auto heads = static_cast<double>(spec.heads() * spec.layers);
  const auto n2 = static_cast<double>(spec.head_size * spec.head_size);
  return 6.0 * static_cast<double>(active_parameters) + 40.0 * n2 * heads;
}

Plan dry_plan(const RunConfig& config, const ModelSpec& spec, std::int64_t micro, const Sharding& sharding) {
  const Device device = run_device(config);
  const DType compute = compute_dtype(config);
  ParamStore store(device, {DType::F32, compute}, sharding);
  const LanguageModel model(spec, store.root());
  store.allocate(MemoryMode::Measure);
  AdamW optimizer(store, {.moments = config.optimizer.moments}, MemoryMode::Measure);
  NextToken objective(model, config.objective.l2wrap, recompute_of(config));

  const Share mine = share_of(config, sharding.rank, sharding.world);
  CommunicatorSlices parts(mine, nullptr);
  const auto batch_of = [&](std::int64_t T, std::int64_t slices) {
    const Shape shape{micro * config.data.seq_len / T, T / slices};
    BatchView batch{untouchable(shape, DType::I32), untouchable(shape, DType::I32), {}};
    if (config.data.document_state == config::DocumentState::Reset)
      batch.reset = untouchable(shape, DType::U8);
    return batch;
  };
  Workspace train(device, impl_of(device)), evaluate(device, impl_of(device));
  const std::int64_t all = config.sequences_per_step() / micro, rounds = (all + mine.ranks - 1) / mine.ranks;
  const std::int64_t most_sequences = config.most_sequences_per_step() / all * rounds;
  std::optional<CarriedState> carried;
  if (carries_state(config))
    carried.emplace(train.ctx(), model, compute, rounds * micro, micro,
                    CarriedState::Share{sharding.rank, sharding.world, all});
  const auto nobody = dist::single_communicator();
  std::optional<Exchange> exchange;
  if (needs_exchange(config, sharding)) {
    exchange.emplace(train.ctx(), store, *nobody,
                     Exchange::Options{static_cast<int>(rounds), config.run.deterministic, DType::F32});
  }
  MicroStepper stepper(train.ctx(), objective, store, false, most_sequences, carried ? &*carried : nullptr,
                       nullptr, mine.slices > 1 ? &parts : nullptr);
  for (const config::SeqLenPart& part : config.data.seq_len.parts)
    stepper.give(batch_of(part.value, mine.slices), 1.0, true);  // the arenas keep the most
  std::vector<bool> reached;
  for (const Parameter* p : store.parameters()) reached.push_back(p->has_grad);
  Update update(train.ctx(), store, optimizer, config.optimizer.grad_clip, exchange ? &*exchange : nullptr,
                most_sequences, spike_rule(config));
  update.give(config.optimizer.lr, 1, {.mine = stepper.take_losses()});
  next_token_losses(evaluate.ctx(), model, batch_of(config.data.seq_len, 1));

  Plan plan;
  plan.parameters = store.numel();
  plan.active_parameters = plan.parameters - store.find("emb.weight")->master.shape.numel();
  plan.sharding = sharding;
  plan.slices = mine.slices;
  plan.reached = std::move(reached);
  plan.micro_sequences = micro;
  plan.micro_batches = all;
  plan.accumulation = rounds;
  plan.tokens_per_step = config.batch.global_tokens;
  plan.steps = config.total_steps();
  plan.gradients = store.gradient_bytes();
  plan.weights = store.bytes() - plan.gradients;
  plan.optimizer = optimizer.state_bytes();
  plan.saved = std::max(train.saved().high_water(), evaluate.saved().high_water());
  plan.scratch = std::max(train.scratch().high_water(), evaluate.scratch().high_water());
  plan.grad_pool = train.grads().high_water();
  plan.device = device;
  plan.batches = stepper.device_bytes() + update.device_bytes();
  if (exchange)
    plan.exchange = exchange->device_bytes() + Team::device_bytes(device, sharding.world, mine.slices);
  if (device.kind == DeviceKind::Cpu)  // the prefetch ring: ids, targets, resets
    plan.batches += 6 * static_cast<std::size_t>(micro * config.data.seq_len) * 9;
  plan.saved_peak = by_name(train.saved().peak());
  plan.scratch_peak = by_name(train.scratch().peak());
  plan.checkpoint = (4 + 2 * size_of(config.optimizer.moments)) * static_cast<std::size_t>(plan.parameters);
  if (!config.eval.tasks.empty()) plan.tasks = Scorer::bytes(model, impl_of(device), compute);
  if (carried) {
    plan.carried = carried->device_bytes();
    plan.checkpoint += carried->file_bytes();
  }
  plan.flops_per_token = training_flops_per_token(spec, plan.active_parameters);
  return plan;
}

ModelSpec model_spec(const config::ModelSection& section, std::int64_t tokenizer_vocab) {
  const auto value = [](const std::optional<std::int64_t>& v) { return v.value_or(0); };
  ModelSpec spec;
  spec.arch = "rwkv7";
  spec.layers = section.layers;
  spec.width = section.width;
  spec.head_size = section.head_size;
  spec.vocab = section.vocab.value_or(tokenizer_vocab);
  spec.ffn_width = value(section.ffn_width);
  spec.decay_rank = value(section.decay_rank);
  spec.rate_rank = value(section.a_rank);
  spec.value_rank = value(section.v_rank);
  spec.gate_rank = value(section.gate_rank);
  if (spec.vocab < tokenizer_vocab) {
    fail(Exit::Config, "model.vocab: {} is smaller than the tokenizer's {}. Use auto.", spec.vocab,
         tokenizer_vocab);
  }
  return spec.resolve();
}

Device run_device(const RunConfig& config) {
  return parse_device(config.device ? to_string(*config.device) : "auto");
}

DType compute_dtype(const RunConfig& config) {
  const bool cuda = run_device(config).kind == DeviceKind::Cuda;
  return config.precision.compute.value_or(cuda ? DType::BF16 : DType::F32);
}

Recompute recompute_of(const RunConfig& config) {
  return config.parallel.recompute == config::Recompute::Block ? Recompute::Block : Recompute::None;
}

std::size_t memory_for(Device device) {
  if (device.kind == DeviceKind::Cpu) return rss_bytes() + available_memory_bytes();
  // A tenth is left for what is not planned: the code of kernels and libraries, the yardstick's matrices.
  return device_api(device.kind).free_memory(device.index) / 10 * 9;
}

SpikeRule spike_rule(const RunConfig& config) {
  const config::SpikeSection& spike = config.stability.spike;
  if (spike.action == config::SpikeAction::None) return {};
  return {static_cast<int>(spike.window), spike.sigma, spike.action != config::SpikeAction::Log};
}

bool needs_exchange(const RunConfig& config, const Sharding& sharding) {
  return sharding.world > 1 || config.run.deterministic;
}

Plan make_plan(const RunConfig& config, const ModelSpec& spec, std::size_t memory, std::size_t data,
               const Sharding& sharding) {
  const bool on_cpu = run_device(config).kind == DeviceKind::Cpu;
  if (on_cpu) warm_up_sgemm();
  const std::size_t program = rss_bytes();
  const std::int64_t most_tokens = on_cpu ? kMicroTokens : kDeviceMicroTokens;
  const auto plan_with = [&](std::int64_t micro) {
    Plan plan = dry_plan(config, spec, micro, sharding);
    if (!on_cpu) return plan;
    plan.program = program;
    // Each window read makes the kernel map the 64 KiB around it.
    const auto windows =
        static_cast<std::size_t>(plan.steps.value_or(INT32_MAX) * config.sequences_per_step());
    plan.data = std::min(data, windows * 65536);
    return plan;
  };
  const std::int64_t sequences = config.sequences_per_step();
  Plan smallest;
  const int ranks = share_of(config, sharding.rank, sharding.world).ranks;
  const auto expect_work = [&](std::int64_t micro) {
    if (sequences / micro >= ranks) return;
    fail(Exit::Config,
         "batch: a step of {} sequences in micro-batches of {} has work for {} of {} processes. Raise "
         "batch.global_tokens, lower batch.micro_sequences or data.seq_len, or start fewer processes.",
         sequences, micro, sequences / micro * config.parallel.context, sharding.world);
  };
  expect_work(config.batch.micro_sequences.value_or(1));
  if (config.batch.micro_sequences) {
    smallest = plan_with(*config.batch.micro_sequences);
    if (smallest.total() <= memory) return smallest;
  } else {
    const std::int64_t share = micro_batches_wanted(config, sequences, ranks);
    for (std::int64_t micro = sequences; micro >= 1; --micro) {
      if (sequences % micro != 0 || (micro > 1 && micro * config.data.seq_len > most_tokens)) continue;
      if (sequences / micro % share != 0) continue;
      smallest = plan_with(micro);
      if (smallest.total() <= memory) return smallest;
    }
  }
  std::string hint = "Lower data.seq_len or the model's size";
  if (config.parallel.recompute == config::Recompute::None) hint += ", or set parallel.recompute: block";
  if (config.batch.micro_sequences.value_or(1) > 1) hint += ", or lower batch.micro_sequences";
  fail(Exit::Memory, "memory: needs {}, {} free: weights {}, optimizer {}, gradients {}, activations {}. {}.",
       human_bytes(double(smallest.total())), human_bytes(double(memory)),
       human_bytes(double(smallest.weights)), human_bytes(double(smallest.optimizer)),
       human_bytes(double(smallest.gradients)),
       human_bytes(double(smallest.saved + smallest.scratch + smallest.grad_pool)), hint);
}

std::string describe(const Plan& plan) {
  std::string text;
  const auto line = [&](const std::string& what, const std::string& value, const std::string& note = "") {
    std::string row = "  " + what;
    row.resize(std::max<std::size_t>(row.size() + 1, 26), ' ');
    text += row + value + (note.empty() ? "" : "   " + note) + "\n";
  };
  const auto bytes = [](std::size_t b) { return human_bytes(static_cast<double>(b)); };
  line("parameters", format("{} ({})", plan.parameters, human_count(double(plan.parameters))),
       format("without embedding {}", human_count(double(plan.active_parameters))));
  line("tokens per step", format("{}", plan.tokens_per_step),
       format("{} micro-batches of {} sequences", plan.micro_batches, plan.micro_sequences));
  if (plan.sharding.world > 1)
    line("processes", format("{}", plan.sharding.world),
         format("ZeRO {}", plan.sharding.zero) +
             (plan.slices > 1 ? format(", {} share the time of a sequence", plan.slices) : ""));
  line(
      "steps", plan.steps ? format("{}", *plan.steps) : "until the wall-clock budget ends",
      plan.steps ? format("{} tokens", human_count(double(*plan.steps) * double(plan.tokens_per_step))) : "");
  line("FLOPs per token", human_count(plan.flops_per_token));
  line("memory", bytes(plan.total()), to_string(plan.device));
  line("  weights", bytes(plan.weights));
  line("  gradients", bytes(plan.gradients));
  line("  optimizer", bytes(plan.optimizer));
  line("  saved activations", bytes(plan.saved));
  for (std::size_t i = 0; i < std::min<std::size_t>(6, plan.saved_peak.size()); ++i) {
    line("    " + plan.saved_peak[i].name, bytes(plan.saved_peak[i].bytes));
  }
  line("  activation gradients", bytes(plan.grad_pool));
  line("  scratch", bytes(plan.scratch));
  for (std::size_t i = 0; i < std::min<std::size_t>(2, plan.scratch_peak.size()); ++i) {
    line("    " + plan.scratch_peak[i].name, bytes(plan.scratch_peak[i].bytes));
  }
  if (plan.batches > 0) line("  token buffers", bytes(plan.batches));
  if (plan.tasks > 0) line("  eval.tasks", bytes(plan.tasks));
  if (plan.exchange > 0) line("  gradient sums", bytes(plan.exchange));
  if (plan.carried > 0) line("  state between steps", bytes(plan.carried));
  if (plan.data > 0) line("  token files (mapped)", bytes(plan.data));
  if (plan.program > 0) line("  program", bytes(plan.program));
  line("checkpoint", bytes(plan.checkpoint));
  return text;
}

}  // namespace rt
