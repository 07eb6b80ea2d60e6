#include "train/scale_memory.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rt/nn/param_store.h"
#include "rt/train/planner.h"

namespace rt::scale {
namespace {

// NCCL_BUFFSIZE is 4 MiB for each direction of a channel, and there are up to 32 channels (NCCL's user guide,
// "Environment Variables").
constexpr double kNcclBuffers = 2 * 32 * 4.0 * 1024 * 1024;

RunConfig config_of(const ScaleRun& run, std::int64_t micro_sequences) {
  RunConfig config;
  config.device = Device::cpu();  // a dry run: what is counted is what that device's kernels would take
  config.precision.compute = run.compute;
  config.data.seq_len = run.seq_len;
  config.batch.micro_sequences = micro_sequences;
  config.batch.global_tokens = micro_sequences * run.seq_len;
  config.optimizer.moments = run.moments;
  config.parallel.recompute =
      run.recompute == Recompute::Block ? config::Recompute::Block : config::Recompute::None;
  return config;
}

}  // namespace

double Layout::extent() const { return std::accumulate(units.begin(), units.end(), 0.0); }
double Layout::largest() const { return *std::max_element(units.begin(), units.end()); }
double Layout::shard(std::int64_t world) const {
  return std::accumulate(units.begin(), units.end(), 0.0, [&](double sum, double unit) {
    return sum + std::ceil(unit / static_cast<double>(world));
  });
}

Layout layout_of(const ModelSpec& spec) {
  ParamStore store(Device::cpu(), {DType::F32, DType::BF16});
  const LanguageModel model(spec, store.root());
  store.allocate(MemoryMode::Measure);
  Layout layout;
  layout.parameters = store.numel();
  layout.active_parameters = layout.parameters - store.find("emb.weight")->master.numel();
  layout.flops_per_token = training_flops_per_token(spec, layout.active_parameters);
  for (const ParamUnit& unit : store.units()) layout.units.push_back(static_cast<double>(unit.extent));
  return layout;
}

double activation_bytes(const ScaleRun& run, std::int64_t micro_sequences) {
  const Plan plan = dry_plan(config_of(run, micro_sequences), run.model, micro_sequences);
  return static_cast<double>(plan.saved + plan.scratch + plan.grad_pool + plan.batches);
}

RankMemory rank_memory(const ScaleRun& run, const Layout& layout, double activations) {
  const int zero = run.world > 1 ? run.zero : 0;
  const double all = layout.extent(), own = zero == 0 ? all : layout.shard(run.world);
  const double weight = 2, master = 4, gradient = 4;  // bytes
  RankMemory memory;
  memory.weights = zero < 3 ? weight * all : weight * (own + 2 * layout.largest());
  memory.masters = master * own;
  memory.moments = 2.0 * static_cast<double>(size_of(run.moments)) * own;
  memory.gradients = zero < 2 ? gradient * all : gradient * (own + 2 * layout.largest());
  memory.activations = activations;
  if (run.world > 1) {
    memory.communication = kNcclBuffers;
    // Gradients are rounded into two units before they are sent.
    if (run.wire == DType::BF16) memory.communication += 2 * 2 * layout.largest();
  }
  return memory;
}

}  // namespace rt::scale
