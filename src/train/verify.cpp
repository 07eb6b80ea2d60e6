#include "rt/train/verify.h"

#include <algorithm>
#include <cstdio>

#include "rt/core/error.h"
#include "rt/io/safetensors.h"
#include "train/verify_report.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using verification::Golden;
using verification::Report;
using Verdict = VerifyLine::Verdict;

void check_impl(const VerifyOptions& options) {
  if (options.impl == Impl::Cuda && cuda_device_count() == 0) {
    fail(Exit::Config, "impl cuda: {}. Use ref or cpu.",
         built_with_cuda() ? "this machine has no CUDA device" : "this build has no CUDA kernels");
  }
  if (options.impl != Impl::Ref && options.compute != DType::F32 && options.compute != DType::BF16) {
    fail(Exit::Config, "precision {}: impl {} stores f32 or bf16.", name(options.compute),
         name(options.impl));
  }
}

fs::path golden_file(const fs::path& path) {
  if (!fs::is_directory(path)) return path;
  if (fs::exists(path / "golden.safetensors")) return path / "golden.safetensors";
  fail(Exit::Checkpoint, "{}: no golden.safetensors in this folder: name a golden file or a golden model.",
       path.string());
}

std::string known(const Golden& golden, const std::string& key, const std::string& only) {
  std::string value = golden.metadata(key);
  if (value == only) return value;
  fail(Exit::Checkpoint, "{}: {} is {}, this build has only {}.", golden.path(), key, value, only);
}

std::string precision(const VerifyOptions& options) {
  return std::string(options.impl == Impl::Ref ? "f64" : name(options.compute));
}

std::string scientific(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2e", x);
  return text;
}

std::string verdict_text(Verdict verdict) {
  return verdict == Verdict::Ok ? "ok" : verdict == Verdict::Fail ? "FAIL" : "info";
}

}  // namespace

std::size_t VerifyResult::failures() const {
  return static_cast<std::size_t>(std::count_if(
      lines.begin(), lines.end(), [](const VerifyLine& line) { return line.verdict == Verdict::Fail; }));
}

VerifyResult verify(const fs::path& path, const VerifyOptions& options) {
  check_impl(options);
  Golden golden(golden_file(path));
  VerifyResult result;
  Report report(result, options, golden);
  const io::Metadata& metadata = golden.archive().metadata();
  std::string what;
  if (metadata.contains("op")) {
    what = known(golden, "op", "wkv7") + " " + golden.metadata("case");
    verify_wkv7(golden, options, report);
  } else if (metadata.contains("initial_checkpoint")) {
    what = known(golden, "arch", "rwkv7") + " training";
    verify_training(golden, options, report);
  } else if (metadata.contains("checkpoint")) {
    what = known(golden, "arch", "rwkv7") + " " + golden.metadata("case");
    verify_model(golden, options, report);
  } else {
    fail(Exit::Checkpoint,
         "{}: not a golden file: its metadata names no op, checkpoint or initial_checkpoint.", golden.path());
  }
  for (const std::string& name : golden.unread()) report.fail(name + " (not computed)", golden.shape(name));
  result.title = format("{}, {} {}", what, name(options.impl), precision(options));
  return result;
}

void write_computed(const VerifyResult& result, const fs::path& file) {
  std::vector<io::NamedTensor> tensors;
  for (const auto& [name, tensor] : result.computed) tensors.push_back({name, tensor.view});
  io::write_safetensors(file, tensors, {{"verified", result.title}});
}

std::string describe(const VerifyResult& result) {
  using Cells = std::vector<std::string>;
  std::vector<Cells> rows{{"tensor", "shape", "rel rms", "max abs", "tolerance", ""}};
  for (const VerifyLine& line : result.lines) {
    rows.push_back({line.name, line.shape.to_string(), scientific(line.relative_rms),
                    scientific(line.max_abs), line.tolerance, verdict_text(line.verdict)});
  }
  std::vector<std::size_t> widths(rows[0].size());
  for (const Cells& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text = result.title + "\n";
  for (const Cells& row : rows) {
    std::string out;
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += "  " + row[i] + std::string(widths[i] - row[i].size(), ' ');
    }
    text += out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
  }
  const std::size_t failures = result.failures();
  return text + (failures == 0 ? format("all {} within tolerance\n", result.lines.size())
                               : format("FAIL: {} of {}\n", failures, result.lines.size()));
}

}  // namespace rt
