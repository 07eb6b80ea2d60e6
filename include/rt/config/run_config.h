#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/config/change.h"
#include "rt/config/data_section.h"
#include "rt/config/dist_section.h"
#include "rt/config/quantity.h"
#include "rt/config/seq_len.h"
#include "rt/core/device.h"
#include "rt/core/dtype.h"

// The YAML file of a run as plain structs: a section is a struct, a key is the field of the same name, the
// initialiser here is the key's default. Sizes, counts and token numbers are int64.
// An empty optional is written "auto" where the comment says so, else "null".
namespace rt::config {

enum class OnExists : std::uint8_t { Resume, Error, OverwriteIfEmpty };

struct RunSection {
  std::string name;                 // required; letters, digits, "._-"
  std::string dir = "runs/{name}";  // {name} is already replaced after loading
  std::int64_t seed = 42;           // the only seed; every stream is derived from it
  // The same bits for 1, 2, 4 and 8 processes, and on any network: sums are taken in a fixed order
  // (rt/train/gradient_tree.h).
  bool deterministic = false;
  OnExists on_exists = OnExists::Resume;
  friend bool operator==(const RunSection&, const RunSection&) = default;
};

enum class Arch : std::uint8_t { Rwkv7 };

struct ModelInit {  // "arch", or {from: path}
  std::optional<std::string>
      from;  // a checkpoint or weight file to start from; empty: the architecture's own init
  friend bool operator==(const ModelInit&, const ModelInit&) = default;
};

struct ModelSection {
  Arch arch = Arch::Rwkv7;
  std::int64_t layers = 0;  // L, required
  std::int64_t width = 0;   // C, required; a multiple of head_size
  std::int64_t head_size = 64;
  std::optional<std::int64_t> ffn_width;                              // auto: 4 x width
  std::optional<std::int64_t> vocab;                                  // auto: from the tokenizer
  std::optional<std::int64_t> decay_rank, a_rank, v_rank, gate_rank;  // auto: from the width
  ModelInit init;
  friend bool operator==(const ModelSection&, const ModelSection&) = default;
};

struct PrecisionSection {
  std::optional<DType> compute;    // F32 or BF16; auto: BF16 on CUDA, F32 on the CPU
  DType grad_reduce = DType::F32;  // as what gradients travel between processes; F32 or BF16
  friend bool operator==(const PrecisionSection&, const PrecisionSection&) = default;
};

enum class TokenizerType : std::uint8_t { Bytes, Chars, RwkvWorld, HfJson, Tiktoken, Sentencepiece };
std::string_view to_string(TokenizerType type);  // as it is written in the file

struct TokenizerSection {
  TokenizerType type = TokenizerType::Bytes;
  // The vocabulary, which all types but bytes and chars must have. chars: a stored alphabet; else it is taken
  // from the training text.
  std::optional<std::string> file;
  friend bool operator==(const TokenizerSection&, const TokenizerSection&) = default;
};

struct BatchSection {
  std::int64_t global_tokens = 0;               // per optimizer step, required; seq_len x k
  std::optional<std::int64_t> micro_sequences;  // B of one forward pass, divides k; auto: what fits
  friend bool operator==(const BatchSection&, const BatchSection&) = default;
};

enum class OptimizerType : std::uint8_t { AdamW };

struct ParamGroup {
  std::string match;  // required; glob over parameter names, first match wins
  double lr_scale = 1.0;
  std::optional<double> weight_decay;  // empty: the section's
  friend bool operator==(const ParamGroup&, const ParamGroup&) = default;
};

struct OptimizerSection {
  OptimizerType type = OptimizerType::AdamW;
  double lr = 0;  // required
  std::array<double, 2> betas = {0.9, 0.99};
  double eps = 1e-18;
  double weight_decay = 0.1;
  std::vector<ParamGroup> groups;  // empty: the architecture's own
  double grad_clip = 1.0;          // global norm; 0 disables
  DType moments = DType::F32;      // F32, or BF16: half the memory, rounded stochastically
  friend bool operator==(const OptimizerSection&, const OptimizerSection&) = default;
};

enum class ScheduleType : std::uint8_t { Cosine, Linear, Wsd, Constant };
enum class DecayShape : std::uint8_t { Linear, OneMinusSqrt, Cosine };

struct ScheduleSection {
  ScheduleType type = ScheduleType::Cosine;
  Quantity warmup = steps(0);
  std::optional<Quantity> decay;          // wsd only, and then never empty after loading (20%)
  std::optional<DecayShape> decay_shape;  // wsd only, and then never empty after loading (1-sqrt)
  double final = 0.1;                     // last learning rate as a fraction of lr
  friend bool operator==(const ScheduleSection&, const ScheduleSection&) = default;
};

struct BudgetSection {  // whichever comes first; at least one
  std::optional<std::int64_t> tokens;
  std::optional<std::int64_t> steps;
  std::optional<std::chrono::seconds> wall;
  friend bool operator==(const BudgetSection&, const BudgetSection&) = default;
};

enum class NonFinite : std::uint8_t { Stop, Skip, Rollback };
enum class SpikeAction : std::uint8_t { None, Log, Skip, Rollback };

struct SpikeSection {         // a step's loss or gradient norm far above those of the steps before it
  std::int64_t window = 128;  // steps
  double sigma = 6;           // standard deviations
  SpikeAction action = SpikeAction::Log;
  friend bool operator==(const SpikeSection&, const SpikeSection&) = default;
};

struct RollbackSection {
  std::int64_t skip_batches = 1;  // of data, from the one that the bad step read
  std::int64_t max = 3;           // of a run
  friend bool operator==(const RollbackSection&, const RollbackSection&) = default;
};

// A bad step never changes the weights. Then the run stops; or goes on with the next step (at most three in a
// row); or goes back to the newest checkpoint and comes by here without the batches that were bad.
struct StabilitySection {
  NonFinite nonfinite = NonFinite::Stop;  // loss or gradient
  SpikeSection spike;
  RollbackSection rollback;
  std::int64_t param_hash_every = 1000;  // steps between comparisons of all processes' weights; 0: never
  friend bool operator==(const StabilitySection&, const StabilitySection&) = default;
};

enum class Recompute : std::uint8_t { None, Block };

struct ParallelSection {
  Recompute recompute = Recompute::None;
  std::int64_t zero = 1;     // what several processes share out: rt/nn/param_store.h, Sharding
  std::int64_t context = 1;  // so many processes share the time of a sequence: rt/train/share.h
  friend bool operator==(const ParallelSection&, const ParallelSection&) = default;
};

enum class ObjectiveType : std::uint8_t { NextToken };

struct ObjectiveSection {
  ObjectiveType type = ObjectiveType::NextToken;
  double l2wrap = 1e-4;  // 0 disables
  friend bool operator==(const ObjectiveSection&, const ObjectiveSection&) = default;
};

struct CheckpointEvery {  // both empty: only at the end
  std::optional<std::int64_t> steps = 1000;
  std::optional<std::chrono::seconds> time = std::chrono::minutes(30);
  friend bool operator==(const CheckpointEvery&, const CheckpointEvery&) = default;
};

struct KeepBest {
  std::string metric;  // required: valid/NAME/loss, of a set of data.valid
  std::int64_t n = 1;  // checkpoints with the lowest; one is saved whenever an evaluation finds a better one
  friend bool operator==(const KeepBest&, const KeepBest&) = default;
};

struct CheckpointKeep {
  std::int64_t last = 3;
  std::optional<std::int64_t> every_steps;  // checkpoints at these multiples are never deleted
  std::optional<KeepBest> best;
  friend bool operator==(const CheckpointKeep&, const CheckpointKeep&) = default;
};

enum class DiskReserve : std::uint8_t { Auto, None };

struct CheckpointSection {
  bool async = true;  // training goes on while one is written
  CheckpointEvery every;
  CheckpointKeep keep;
  std::string resume = "auto";  // auto | never | path of a checkpoint
  // After a signal so much time is left. When the last save took longer than what remains of it, the run
  // keeps the checkpoint that it has.
  std::chrono::seconds grace = std::chrono::seconds(120);
  std::string trigger_file = "SAVE_NOW";  // in run.dir: when it appears, a checkpoint is saved and it goes
  DiskReserve disk_reserve = DiskReserve::Auto;  // auto: refuse to start unless the checkpoints to keep fit
  std::vector<ChangeClass> allow_change;         // never Harmless or Model
  friend bool operator==(const CheckpointSection&, const CheckpointSection&) = default;
};

struct SamplesSection {
  Quantity every = steps(500);       // steps
  std::vector<std::string> prompts;  // empty: no samples
  std::int64_t max_tokens = 128;
  double temperature = 1.0;  // 0: greedy
  double top_p = 1.0;
  std::int64_t top_k = 0;  // 0: off
  friend bool operator==(const SamplesSection&, const SamplesSection&) = default;
};

enum class TaskName : std::uint8_t { Lambada, MultipleChoice, Wikitext };

struct TaskSection {  // a benchmark with every evaluation; the files' forms: rt/train/eval_task.h
  TaskName task = TaskName::Lambada;  // required
  std::string path;                   // required
  std::int64_t limit = 0;             // the first so many examples; 0: all
  friend bool operator==(const TaskSection&, const TaskSection&) = default;
};

struct EvalSection {
  Quantity every = steps(500);  // steps
  bool at_start = true;
  std::optional<std::int64_t> tokens;  // cap per validation set; empty: all of it
  std::vector<TaskSection> tasks;
  SamplesSection samples;
  friend bool operator==(const EvalSection&, const EvalSection&) = default;
};

enum class Console : std::uint8_t { Auto, Bar, Lines, Quiet };

struct LogSection {
  Quantity every = steps(10);  // steps
  Console console = Console::Auto;
  friend bool operator==(const LogSection&, const LogSection&) = default;
};

struct RunConfig {
  std::int64_t version = 1;
  RunSection run;
  std::optional<Device> device;         // auto: CUDA where a device is there, else the CPU
  std::optional<std::int64_t> threads;  // auto: one per core
  ModelSection model;
  PrecisionSection precision;
  TokenizerSection tokenizer;
  DataSection data;
  BatchSection batch;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  BudgetSection budget;
  StabilitySection stability;
  ParallelSection parallel;
  DistSection dist;
  ObjectiveSection objective;
  CheckpointSection checkpoint;
  EvalSection eval;
  LogSection log;

  // Reads `file` with its `include`s (relative to the file that names them), then applies overrides
  // "a.b=VALUE", then `model.spec`, a file with a model section whose keys fill what the run itself leaves
  // open; then validates. Throws Exit::Config with one line "file:line:col: dotted.path: what. Fix".
  static RunConfig load(const std::filesystem::path& file, std::span<const std::string> overrides = {});
  // The same for text in memory; `name` stands for the file in messages, relative files are sought from the
  // working directory.
  static RunConfig parse(std::string_view yaml, std::string_view name,
                         std::span<const std::string> overrides = {});

  // Every key with its resolved value; parse(dump()) gives back an equal config.
  std::string dump() const;

  std::int64_t sequences_per_step() const { return batch.global_tokens / data.seq_len; }  // of full length
  std::int64_t most_sequences_per_step() const { return batch.global_tokens / data.seq_len.shortest(); }
  // The length of the run by budget.tokens (rounded down to whole steps) and budget.steps, whichever comes
  // first; empty when only budget.wall is given.
  std::optional<std::int64_t> total_steps() const;

  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};

}  // namespace rt::config

namespace rt {
using config::RunConfig;
}
