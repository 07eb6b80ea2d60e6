#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "rt/core/buffer.h"
#include "rt/core/exec.h"

namespace rt {

// Recomputes what a golden file says and compares, tensor by tensor.
struct VerifyOptions {
  Impl impl = Impl::Cpu;
  DType compute = DType::F32;  // storage of activations and weights; Ref is F64 whatever this says
};

struct VerifyLine {
  enum class Verdict : std::uint8_t { Ok, Fail, Info };
  std::string name;  // the golden's, with "(how)" behind it where it was computed in a second way
  Shape shape;
  double relative_rms = 0;  // ||got - expected|| / ||expected||; ||got|| where all of expected is zero
  double max_abs = 0;
  std::string tolerance;  // what was judged, e.g. "rms 1e-05"; empty for Info
  Verdict verdict = Verdict::Info;
};

struct VerifyResult {
  std::string title;  // what was verified, in a few words
  std::vector<VerifyLine> lines;
  std::vector<std::pair<std::string, Tensor>> computed;  // under the golden's names

  std::size_t failures() const;
};

// `path` is a golden file of an op or of a training run, or the folder of a golden model (its
// golden.safetensors beside the weights); the training run's initial checkpoint is looked for beside the
// file and above it. A tensor of the golden that was not recomputed counts as a failure. Exit::Checkpoint
// for what cannot be read or is not of this build's architectures, Exit::Config for an impl it has not.
VerifyResult verify(const std::filesystem::path& path, const VerifyOptions& options);

// Writes VerifyResult::computed in the golden's types.
void write_computed(const VerifyResult& result, const std::filesystem::path& file);

// One line per tensor, aligned, and a summary.
std::string describe(const VerifyResult& result);

}  // namespace rt
