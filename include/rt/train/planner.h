#pragma once
#include <string>
#include <vector>

#include "rt/config/run_config.h"
#include "rt/core/exec.h"
#include "rt/nn/language_model.h"
#include "rt/nn/param_store.h"
#include "rt/ops/step_control.h"
#include "rt/train/objective.h"

namespace rt {

// What a run will take, known before anything is allocated: a dry run of one micro-step.
struct Plan {
  Device device;                       // whose memory this is about
  std::int64_t parameters = 0;         // learned numbers
  std::int64_t active_parameters = 0;  // without the embedding: what a token multiplies
  // accumulation: micro-batches that a process computes, one after the other; all have micro_batches.
  std::int64_t micro_sequences = 0, accumulation = 0, micro_batches = 0, tokens_per_step = 0;
  Sharding sharding;          // the process it is about; one is like another
  int slices = 1;             // of time, that as many processes share
  std::vector<bool> reached;  // by ParamStore::parameters(): backward comes to it
  std::optional<std::int64_t> steps;
  std::size_t weights = 0;    // masters and compute copies
  std::size_t gradients = 0;  // of parameters
  std::size_t optimizer = 0;
  std::size_t saved = 0, scratch = 0, grad_pool = 0;  // the arenas
  std::size_t batches = 0;                            // token buffers and what a step leaves for its update
  std::size_t exchange = 0;                           // sums of gradients under way
  std::size_t carried = 0;                            // recurrent state between steps
  std::size_t tasks = 0;                              // of eval.tasks: while they run, beside all else
  std::size_t data = 0;     // token files, as the next on the CPU only: mapped, and resident once read
  std::size_t program = 0;  // code, libraries and threads, as resident when the plan was made
  std::vector<AllocRecord> saved_peak, scratch_peak;  // by name, largest first
  std::size_t checkpoint = 0;                         // bytes of one checkpoint
  double flops_per_token = 0;                         // training_flops_per_token

  std::size_t total() const {
    return weights + gradients + optimizer + saved + scratch + grad_pool + batches + exchange + carried +
           tasks + data + program;
  }
};

ModelSpec model_spec(const config::ModelSection& section, std::int64_t tokenizer_vocab);
Device run_device(const RunConfig& config);  // throws Exit::Config when what the config asks for is not there
DType compute_dtype(
    const RunConfig& config);  // unless the config says otherwise: bf16 on CUDA, f32 on the CPU
Recompute recompute_of(const RunConfig& config);
std::size_t memory_for(Device device);  // bytes that a run may take there

// 6 per active parameter, plus the scan: 40 N^2 per head and layer.
double training_flops_per_token(const ModelSpec& spec, std::int64_t active_parameters);

// The dry run alone, with `micro` sequences a micro-step: nothing of this process, its data or what is free.
Plan dry_plan(const RunConfig& config, const ModelSpec& spec, std::int64_t micro,
              const Sharding& sharding = {});

// Chooses batch.micro_sequences when it is auto: the most that keeps a micro-batch within kMicroTokens tokens
// and the plan within `memory` bytes. Exit::Memory, naming what would fit, when nothing does.
// `data` is the size of the mapped token files, of which a run touches no more than it trains on.
// `sharding`: of one of several processes, each of which has `memory`. Exit::Config when the batch has fewer
// micro-batches than processes.
//
// With run.deterministic the choice does not depend on the number of processes: GradientTree::kLeaves
// micro-batches or a multiple, where the batch has as many sequences.
Plan make_plan(const RunConfig& config, const ModelSpec& spec, std::size_t memory, std::size_t data = 0,
               const Sharding& sharding = {});
SpikeRule spike_rule(const RunConfig& config);
bool needs_exchange(const RunConfig& config, const Sharding& sharding);
inline constexpr std::int64_t kMicroTokens = 2048;         // on the CPU, where a larger batch is no faster
inline constexpr std::int64_t kDeviceMicroTokens = 65536;  // on a GPU, which needs more to be busy

std::string describe(const Plan& plan);  // the table of --check, several lines

}  // namespace rt
