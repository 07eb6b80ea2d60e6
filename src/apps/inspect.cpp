#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "apps/options.h"
#include "apps/verb.h"
#include "rt/core/parallel.h"
#include "rt/infer/model_file.h"
#include "rt/io/archive.h"
#include "rt/io/checkpoint.h"
#include "rt/train/machine.h"
#include "rt/train/run_state.h"

namespace rt {
namespace {

namespace fs = std::filesystem;

struct Summary {
  double sum_squares = 0, min = std::numeric_limits<double>::infinity(), max = -min;
  std::int64_t non_finite = 0;
};

Summary summarize(const io::TensorArchive& archive, const std::string& name) {
  Summary s;
  for (const float v : archive.read_f32(name)) {
    if (!std::isfinite(v)) {
      ++s.non_finite;
      continue;
    }
    s.sum_squares += double(v) * double(v);
    s.min = std::min<double>(s.min, v);
    s.max = std::max<double>(s.max, v);
  }
  return s;
}

// The checkpoints below a run directory (or below its checkpoints directory); empty when it is neither.
std::vector<io::CheckpointInfo> checkpoints_in(const fs::path& path) {
  if (!fs::is_directory(path) || fs::exists(path / "manifest.json")) return {};
  return io::list_checkpoints(fs::exists(path / "checkpoints") ? path / "checkpoints" : path);
}

void verify(const fs::path& path) {
  std::vector<fs::path> dirs;
  for (const io::CheckpointInfo& c : checkpoints_in(path)) dirs.push_back(c.dir);
  if (dirs.empty()) dirs.push_back(fs::is_directory(path) ? path : path.parent_path());
  std::vector<std::string> damaged;
  for (const fs::path& dir : dirs) {
    if (!fs::exists(dir / "manifest.json")) {
      fail(Exit::Checkpoint, "{}: no manifest.json to verify against.", path.string());
    }
    try {
      io::verify_checkpoint(dir);
      std::printf("%s: every checksum matches\n", dir.c_str());
    } catch (const Error& e) { damaged.emplace_back(e.what()); }
  }
  for (std::size_t i = 1; i < damaged.size(); ++i) std::printf("%s\n", damaged[i].c_str());
  if (!damaged.empty()) fail(Exit::Checkpoint, "{}", damaged.front());
}

// Nothing is quarantined, unlike where a run resumes: looking changes nothing.
fs::path weights_of(const fs::path& path) {
  const auto present = checkpoints_in(path);
  return present.empty() ? find_weights(path) : present.back().dir / "model.safetensors";
}

void print_table(const io::TensorArchive& archive) {
  std::size_t width = 4;
  for (const io::TensorInfo& t : archive.tensors()) width = std::max(width, t.name.size());
  std::printf("%-*s  %-18s %-5s %12s %12s %12s %10s\n", int(width), "name", "shape", "dtype", "norm", "min",
              "max", "non-finite");
  double sum_squares = 0, bytes = 0;
  std::int64_t numbers = 0, non_finite = 0;
  for (const io::TensorInfo& t : archive.tensors()) {
    const Summary s = summarize(archive, t.name);
    std::printf("%-*s  %-18s %-5s %12.5g %12.5g %12.5g %10lld\n", int(width), t.name.c_str(),
                t.shape.to_string().c_str(), std::string(io::name(t.dtype)).c_str(), std::sqrt(s.sum_squares),
                s.min, s.max, static_cast<long long>(s.non_finite));
    sum_squares += s.sum_squares;
    numbers += t.shape.numel();
    non_finite += s.non_finite;
    bytes += double(t.shape.numel()) * double(io::size_of(t.dtype));
  }
  std::printf("total: %zu tensors, %lld numbers (%s), %s, norm %.6g, %lld not finite\n",
              archive.tensors().size(), static_cast<long long>(numbers), human_count(double(numbers)).c_str(),
              human_bytes(bytes).c_str(), std::sqrt(sum_squares), static_cast<long long>(non_finite));
}

}  // namespace

int inspect_main(int argc, char** argv) {
  std::string path;
  bool verifies = false;
  Options options("rwkv inspect", "Lists what a weight file or checkpoint holds, with norms and ranges.");
  options.positional("CKPT", path, "A weight file (.safetensors, .pth), a checkpoint or a run directory");
  options.flag("--verify", verifies, "Only check stored checksums; of a run directory, all its checkpoints");
  if (!options.parse(argc, argv)) return 0;
  if (!fs::exists(path)) fail(Exit::Checkpoint, "{}: no such file or directory.", path);
  if (verifies) {
    verify(path);
    return 0;
  }
  const fs::path file = weights_of(path);
  const io::TensorArchive archive = io::open_archive(file);
  std::printf("file: %s\n", file.c_str());
  if (fs::exists(file.parent_path() / "state.json")) {
    const RunProgress p = read_progress(file.parent_path());
    std::printf("step %llu, %s tokens, %s of training\n", static_cast<unsigned long long>(p.step),
                human_count(double(p.tokens)).c_str(), human_seconds(p.seconds).c_str());
  }
  print_table(archive);
  return 0;
}

}  // namespace rt
