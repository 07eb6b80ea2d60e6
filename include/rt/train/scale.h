#pragma once
#include <cstdint>
#include <optional>

#include "rt/nn/language_model.h"
#include "rt/train/machines.h"

// What a step would take on up to 4096 GPUs, from equations and constants: nothing is run. W ranks in m = W/g
// nodes of g GPUs; a rank computes M tokens in each of A micro-steps; P parameters, in units (the embedding,
// each block, the head) of which every rank owns an equal part.
//
// Memory per rank. Weights 2 B, masters 4 B, gradients 4 B, moments 2 x 4 B (or 2 x 2) a parameter; what a
// stage of ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054, section 5) shards is divided by W, unit by unit:
//   0 nothing   1 masters and moments   2 also gradients   3 also weights
// plus, from stage 2, two whole units of gradients (one being written, one being sent) and in stage 3 two of
// weights. Activations are measured: the planner's dry run of a micro-step, with the CPU's kernels.
//
// Time to compute, forward or backward, M tokens:
//   product      flops / matmul + kProductBytes x bytes / copy
//   any other    bytes / copy, where bytes are those that a copy would move in the time that the kernel took
// The constants are of our own kernels on an H200 (src/train/scale_costs.cpp), carried to other machines by
// their matmul and copy rates. Recompute::Block adds a block's forward to its backward.
//
// Time to send n bytes by a ring in each node and rings across nodes, at once in chunks (alpha-beta; Thakur
// et al. 2005, and NCCL's own model in its tuning.cc); reduce-scatter and all-gather alike, all-reduce is
// both:
//   (g-1) link_latency + (m-1) network_latency + max(n (g-1)/g / link, n/g (m-1)/m / network)
// which sends n (g-1)/g + n/g (m-1)/m = n (W-1)/W bytes from each rank.
//
// What is sent in a step, b bytes a gradient on the wire:
//   0 all-reduce of b P                        after the unit's backward in the last micro-step
//   1 reduce-scatter of b P, all-gather of 2 P  the same; the gather of a unit before its first forward
//   2 reduce-scatter of A b P, all-gather of 2 P  in every micro-step
//   3 reduce-scatter of A b P, all-gather of A 4 P  also before every forward and backward of a unit
// One queue of compute and one of communication, each in order, decide what is hidden; the rest is exposed.
// Last come the norm's all-reduce, by trees, and the optimizer on what a rank owns. Not modelled: contention
// of communication with kernels, stragglers, the host, evaluation and checkpoints.
namespace rt {

struct ScaleRun {
  ModelSpec model;                              // resolved
  std::int64_t global_tokens = 0;               // a step, of all ranks
  std::int64_t seq_len = 0;                     // T
  std::optional<std::int64_t> micro_sequences;  // auto: the most that fits, within kDeviceMicroTokens
  DType compute = DType::BF16;                  // no other: the machines' rates are for it
  DType moments = DType::F32;                   // or BF16
  DType wire = DType::F32;                      // of gradients, or BF16
  Recompute recompute = Recompute::None;
  int zero = 1;            // 0..3; of no effect on one GPU
  std::int64_t world = 1;  // 1..4096, and whole nodes where more than one
};

inline constexpr double kUsableMemory =
    0.9;  // of a GPU's, as memory_for() leaves libraries and kernels the rest

struct RankMemory {  // bytes
  double weights = 0, masters = 0, moments = 0, gradients = 0;
  double activations = 0;  // saved for backward, their gradients, scratch, token buffers
  double communication = 0;
  double total() const { return weights + masters + moments + gradients + activations + communication; }
};

struct StepCompute {  // seconds of a step
  double products = 0, scan = 0, streaming = 0, optimizer = 0;
  double passes() const { return products + scan + streaming; }  // forward and backward
  double total() const { return passes() + optimizer; }
};

struct StepTraffic {
  double reduce_bytes = 0, gather_bytes = 0;      // sent by a rank in a step
  double reduce_seconds = 0, gather_seconds = 0;  // as if alone; an all-reduce counts half in each
  double exposed = 0;                             // seconds that the step is longer for it
  double hidden() const { return reduce_seconds + gather_seconds - exposed; }
};

struct ScaleEstimate {
  std::int64_t parameters = 0, active_parameters = 0;  // active: without the embedding
  std::int64_t micro_sequences = 0, accumulation = 0;  // per rank
  RankMemory memory;
  bool fits = false;  // within kUsableMemory
  StepCompute compute;
  StepTraffic traffic;
  double step_seconds = 0;
  double tokens_per_second = 0;  // of all ranks
  double mfu = 0;                // 6 FLOPs per active parameter and token, of the nominal rate
  double of_matmul = 0;          // the planner's FLOPs, of the machine's best matrix product
};

// Exit::Config, in one line, for what no run can be: a world beyond 4096 or not of whole nodes, sequences
// that do not divide among ranks, another compute dtype than BF16. A run that does not fit is an estimate
// with fits = false.
ScaleEstimate estimate_scale(const ScaleRun& run, const Machine& machine);

// The first change, of one kind each, by which a run that does not fit would: "--zero 2 (61.2 GiB)", "--world
// 64 ...", joined by ", or "; empty when none does.
std::string what_would_fit(const ScaleRun& run, const Machine& machine);

// One ring collective of n bytes over `world` ranks: all-gather's result or reduce-scatter's input.
double ring_seconds(double n, std::int64_t world, const Machine& machine);
double ring_bytes(double n, std::int64_t world);  // sent by a rank: n (W-1)/W

}  // namespace rt
