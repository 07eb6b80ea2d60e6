#pragma once
#include <set>
#include <span>

#include "rt/io/archive.h"
#include "rt/train/verify.h"

namespace rt::verification {

using Values = std::vector<double>;

// What kind of number is compared: its tolerance is a row of the table in verify_tolerance.cpp.
enum class Quantity : std::uint8_t {
  OpOutput,
  OpGradient,
  StrongOutput,  // ops whose decays are mostly near 0
  StrongGradient,
  Logits,
  Loss,
  GradNorm,
  LogitsGradient,
  ParameterGradient,
  State,
  Margin,  // between two logits
  TrainingLoss,
  TrainingGradNorm,
  Final,  // parameters after training, relative to how far they went
  Exact,
};

// Limits that all hold; infinity: not judged.
struct Limits {
  double rms, max_abs, max_relative;
  std::string to_string() const;
};
Limits limits(Quantity quantity, const VerifyOptions& options);

// The golden file, remembering what was read from it.
class Golden {
 public:
  explicit Golden(const std::filesystem::path& path);

  const io::TensorArchive& archive() const { return archive_; }
  std::string path() const { return archive_.path().string(); }
  bool contains(std::string_view name) const { return archive_.contains(name); }
  const Shape& shape(std::string_view name) const { return archive_.info(name).shape; }
  std::string metadata(const std::string& key) const;  // Exit::Checkpoint when missing
  Values values(const std::string& name);
  Values values(const std::string& name, std::int64_t count);        // exactly so many
  Tensor tensor(const std::string& name, Shape shape, DType dtype);  // converted; same number of elements
  TensorView ids(const std::string& name, std::int64_t vocab);       // I32, each checked to be in [0, vocab)
  std::vector<std::string> unread() const;

 private:
  io::TensorArchive archive_;
  std::set<std::string> read_;
};

// Collects the lines of a VerifyResult.
class Report {
 public:
  Report(VerifyResult& result, const VerifyOptions& options, Golden& golden)
      : result_(result), options_(options), golden_(golden) {}

  // Compares with the golden's tensor of that name and keeps `got` as this build's own.
  void add(const std::string& name, const Values& got, Quantity quantity);
  // The same numbers by another way: compared, not kept.
  void add_another(const std::string& name, const std::string& how, const Values& got, Quantity quantity);
  // Not judged, and not kept.
  void inform(const std::string& name, const Values& got);
  // With `scale` in place of ||expected||.
  void judge(const std::string& name, const Shape& shape, std::span<const double> got,
             std::span<const double> want, Quantity quantity, double scale = 0);
  void fail(const std::string& name, const Shape& shape);
  void keep(const std::string& name, const Values& got);

 private:
  VerifyResult& result_;
  const VerifyOptions& options_;
  Golden& golden_;
};

Values read_values(const TensorView& view);
double norm(std::span<const double> v);

// Runs `work(ctx)` dry to learn what memory it takes, then for real.
template <class Work>
void run_planned(Impl impl, const Work& work) {
  Workspace plan(device_of(impl), impl);
  work(plan.ctx());
  Workspace live(device_of(impl), impl, plan.saved().high_water(), plan.scratch().high_water(),
                 plan.grads().high_water());
  work(live.ctx());
}

void verify_wkv7(Golden& golden, const VerifyOptions& options, Report& report);
void verify_model(Golden& golden, const VerifyOptions& options, Report& report);
void verify_training(Golden& golden, const VerifyOptions& options, Report& report);

}  // namespace rt::verification
