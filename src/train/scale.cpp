#include "rt/train/scale.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "rt/core/error.h"
#include "rt/train/machine.h"
#include "rt/train/planner.h"
#include "train/scale_costs.h"
#include "train/scale_memory.h"
#include "train/scale_timeline.h"

namespace rt {
namespace {

constexpr std::int64_t kMaxWorld = 4096;

struct Nodes {
  double gpus, count;  // g and m
};
Nodes nodes_of(std::int64_t world, const Machine& machine) {
  const std::int64_t gpus = std::min<std::int64_t>(world, machine.gpus_per_node);
  const std::int64_t count = world / gpus;
  return {double(gpus), double(count)};
}

// Sum over ranks of a few numbers: up and down a tree in each node and one across.
double small_all_reduce_seconds(std::int64_t world, const Machine& machine) {
  const Nodes at = nodes_of(world, machine);
  return 2 * (std::ceil(std::log2(at.gpus)) * machine.link_latency +
              std::ceil(std::log2(at.count)) * machine.network_latency);
}

void check_world(const ScaleRun& run, const Machine& machine) {
  RT_CHECK(run.seq_len > 0 && run.global_tokens > 0, "a step of {} tokens in sequences of {}",
           run.global_tokens, run.seq_len);
  if (run.compute != DType::BF16)
    fail(Exit::Config, "--world: the machines' rates are for bf16. Set precision.compute: bf16.");
  if (run.world < 1 || run.world > kMaxWorld)
    fail(Exit::Config, "--world: {} GPUs are not from 1 to {}.", run.world, kMaxWorld);
  const std::int64_t node = machine.gpus_per_node;
  if (run.world > node && run.world % node != 0) {
    const std::int64_t below = run.world / node * node;
    fail(Exit::Config, "--world: {} GPUs are no whole nodes of {} ({}). Nearest: {}, {}.", run.world, node,
         machine.name, below, below + node);
  }
  if (run.global_tokens % (run.seq_len * run.world) != 0) {
    const std::int64_t one = run.seq_len * run.world;
    const std::int64_t below = std::max<std::int64_t>(1, run.global_tokens / one) * one;
    fail(Exit::Config, "batch.global_tokens: {} is not world({}) x seq_len({}) x k. Nearest: {}, {}.",
         run.global_tokens, run.world, run.seq_len, below, below + one);
  }
  const std::int64_t sequences = run.global_tokens / run.seq_len / run.world;
  if (run.micro_sequences && (*run.micro_sequences < 1 || sequences % *run.micro_sequences != 0)) {
    fail(Exit::Config, "batch.micro_sequences: {} does not divide the {} sequences of a rank.",
         *run.micro_sequences, sequences);
  }
}

bool fits(const RankMemory& memory, const Machine& machine) {
  return memory.total() <= kUsableMemory * machine.memory;
}

// The most sequences a micro-step that fit, or the fewest there can be.
void place(ScaleEstimate& e, const ScaleRun& run, const scale::Layout& layout, const Machine& machine) {
  const std::int64_t sequences = run.global_tokens / run.seq_len / run.world;
  const auto try_with = [&](std::int64_t micro) {
    e.micro_sequences = micro;
    e.accumulation = sequences / micro;
    e.memory = scale::rank_memory(run, layout, scale::activation_bytes(run, micro));
    return e.fits = fits(e.memory, machine);
  };
  if (run.micro_sequences) {
    try_with(*run.micro_sequences);
    return;
  }
  const std::int64_t most = std::max<std::int64_t>(1, kDeviceMicroTokens / run.seq_len);
  for (std::int64_t micro = std::min(most, sequences); micro >= 1; --micro) {
    if (sequences % micro == 0 && try_with(micro)) return;
  }
}

std::vector<scale::UnitTime> unit_times(ScaleEstimate& e, const ScaleRun& run, const scale::Layout& layout,
                                        const Machine& machine) {
  const auto costs = scale::unit_costs(run.model, e.micro_sequences * run.seq_len, machine);
  const auto micro_steps = static_cast<double>(e.accumulation), wire = double(size_of(run.wire));
  std::vector<scale::UnitTime> units(costs.size());
  for (std::size_t i = 0; i < costs.size(); ++i) {
    scale::Cost backward = costs[i].backward;
    const bool block = i > 0 && i + 1 < costs.size();
    if (block && run.recompute == Recompute::Block) backward += costs[i].forward;
    for (const scale::Cost& c : {costs[i].forward, backward}) {
      e.compute.products += micro_steps * c.products;
      e.compute.scan += micro_steps * c.scan;
      e.compute.streaming += micro_steps * c.streaming;
    }
    units[i] = {costs[i].forward.total(), backward.total(),
                ring_seconds(wire * layout.units[i], run.world, machine),
                ring_seconds(2 * layout.units[i], run.world, machine)};
    if (run.zero == 0) units[i].reduce *= 2;  // an all-reduce: there and back
  }
  return units;
}

void communicate(ScaleEstimate& e, const ScaleRun& run, const scale::Layout& layout, const Machine& machine,
                 const std::vector<scale::UnitTime>& units) {
  if (run.world == 1) return;
  const auto micro_steps = static_cast<double>(e.accumulation);
  const double reduces = run.zero >= 2 ? micro_steps : 1, gathers = run.zero == 3 ? 2 * micro_steps : 1;
  StepTraffic& t = e.traffic;
  const double gradients = ring_bytes(double(size_of(run.wire)) * layout.extent(), run.world);
  t.reduce_bytes = reduces * gradients;
  t.gather_bytes = run.zero == 0 ? gradients : gathers * ring_bytes(2 * layout.extent(), run.world);
  for (const scale::UnitTime& u : units) {
    t.reduce_seconds += reduces * (run.zero == 0 ? u.reduce / 2 : u.reduce);
    t.gather_seconds += run.zero == 0 ? u.reduce / 2 : gathers * u.gather;
  }
  const double scalars = small_all_reduce_seconds(run.world, machine);
  t.reduce_seconds += scalars;
  t.exposed = timeline_seconds(units, run.zero, e.accumulation) - e.compute.passes() + scalars;
}

}  // namespace

double ring_bytes(double n, std::int64_t world) { return n * static_cast<double>(world - 1) / double(world); }

double ring_seconds(double n, std::int64_t world, const Machine& machine) {
  if (world == 1) return 0;
  const Nodes at = nodes_of(world, machine);
  const double within = n * (at.gpus - 1) / at.gpus / machine.link;
  const double between = n / at.gpus * (at.count - 1) / at.count / machine.network;
  return (at.gpus - 1) * machine.link_latency + (at.count - 1) * machine.network_latency +
         std::max(within, between);
}

ScaleEstimate estimate_scale(const ScaleRun& run, const Machine& machine) {
  check_world(run, machine);
  RT_CHECK(run.zero >= 0 && run.zero <= 3, "ZeRO has stages 0 to 3, not {}", run.zero);
  const scale::Layout layout = scale::layout_of(run.model);
  ScaleEstimate e;
  e.parameters = layout.parameters;
  e.active_parameters = layout.active_parameters;
  place(e, run, layout, machine);
  const auto units = unit_times(e, run, layout, machine);
  communicate(e, run, layout, machine, units);
  const bool sharded = run.world > 1 && run.zero > 0;
  e.compute.optimizer = scale::optimizer_seconds(sharded ? layout.shard(run.world) : layout.extent(),
                                                 size_of(run.moments), machine);
  e.step_seconds = e.compute.total() + e.traffic.exposed;
  e.tokens_per_second = static_cast<double>(run.global_tokens) / e.step_seconds;
  const double each = e.tokens_per_second / static_cast<double>(run.world);
  e.mfu = 6 * static_cast<double>(e.active_parameters) * each / machine.nominal;
  e.of_matmul = layout.flops_per_token * each / machine.matmul;
  return e;
}

std::string what_would_fit(const ScaleRun& run, const Machine& machine) {
  std::string all;
  const auto consider = [&](const ScaleRun& other, const std::string& name) {
    const ScaleEstimate e = estimate_scale(other, machine);
    if (e.fits) all += (all.empty() ? "" : ", ") + format("{} ({})", name, human_bytes(e.memory.total()));
    return e.fits;
  };
  ScaleRun other = run;
  for (other.zero = run.zero + 1; run.world > 1 && other.zero <= 3; ++other.zero) {
    if (consider(other, format("parallel.zero: {}", other.zero))) break;
  }
  other = run;
  other.recompute = Recompute::Block;
  if (run.recompute == Recompute::None) consider(other, "parallel.recompute: block");
  other = run;
  other.micro_sequences = 1;
  if (run.micro_sequences.value_or(1) > 1) consider(other, "batch.micro_sequences: 1");
  other = run;
  // A rank keeps its share of the step: more GPUs are more tokens.
  const std::int64_t node = machine.gpus_per_node;
  for (other.world = run.world < node ? node : 2 * run.world; other.world <= kMaxWorld; other.world *= 2) {
    other.global_tokens = run.global_tokens / run.world * other.world;
    if (consider(other, format("--world {}", other.world))) break;
  }
  if (!all.empty()) return all;
  other = run;
  other.recompute = Recompute::Block;
  other.micro_sequences = 1;
  other.zero = 3;
  consider(other, "parallel.zero: 3 with parallel.recompute: block and batch.micro_sequences: 1");
  return all;
}

}  // namespace rt
