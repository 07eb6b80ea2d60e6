#include "apps/bench_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/bench.h"
#include "apps/model_options.h"
#include "rt/autograd/parameter.h"
#include "rt/core/device_api.h"
#include "rt/core/device_stats.h"
#include "rt/core/graph.h"
#include "rt/core/host.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

using Kind = KernelInput::Kind;

DType dtype_of_input(const KernelInput& in, Impl impl, DType storage) {
  if (in.kind == Kind::Ids) return DType::I32;
  if (in.kind == Kind::Bytes) return DType::U8;
  if (impl == Impl::Ref) return DType::F64;
  return in.kind == Kind::Accumulator ? DType::F32 : storage;
}

// An op with inputs, gradients and memory of its own on one device.
class Instance {
 public:
  Instance(const KernelCase& c, Impl impl, DType storage, std::uint64_t seed) : case_(c), impl_(impl) {
    const Device device = device_of(impl);
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      const KernelInput& in = c.inputs[i];
      inputs_.push_back(draw(in, dtype_of_input(in, impl, storage), device, Rng{seed, i}));
      const bool f32 = in.kind == Kind::Weight && impl != Impl::Ref;
      grads_.emplace_back(in.differentiable ? in.shape : Shape{1},
                          f32 ? DType::F32 : dtype_of_input(in, impl, storage), device);
      Parameter& p = parameters_.emplace_back();
      p.value = p.master = inputs_.back().view;
      p.grad = grads_.back().view;
    }
    Workspace plan(device, impl);
    pass(plan.ctx(), true);
    live_ = std::make_unique<Workspace>(device, impl, plan.saved().high_water(), plan.scratch().high_water(),
                                        plan.grads().high_water());
  }

  // Forward, and backward where asked for and there is one, as a training step runs them.
  void pass(ExecContext& ctx, bool backward) {
    const ArenaScope saved(ctx.saved);
    Tape tape(ctx, Record::Yes);
    VarList in;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      parameters_[i].has_grad = false;
      const auto mode = case_.inputs[i].differentiable ? GradMode::Overwrite : GradMode::Skip;
      in.push_back(case_.inputs[i].kind == Kind::Weight
                       ? tape.param(parameters_[i])
                       : tape.input(inputs_[i].view, {grads_[i].view, mode}));
    }
    outputs_ = case_.run(tape, in);
    if (keep_outputs_ && !ctx.dry_run)
      for (const Var v : outputs_) kept_.push_back(copy_to(Device::cpu(), tape.value(v)));
    if (!backward || outputs_.empty()) return;
    for (std::size_t k = 0; k < outputs_.size(); ++k) {
      if (douts_.size() == k) douts_.push_back(draw_gradient(tape.value(outputs_[k]), k));
      tape.seed(outputs_[k], douts_[k].view);
    }
    tape.backward();
  }

  // Every output, every gradient and what may have been updated, on the host.
  std::vector<Tensor> results() {
    keep_outputs_ = true;
    pass(live_->ctx(), true);
    keep_outputs_ = false;
    for (std::size_t i = 0; i < grads_.size(); ++i)
      if (case_.inputs[i].differentiable) kept_.push_back(copy_to(Device::cpu(), grads_[i].view));
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      if (case_.inputs[i].kind == Kind::Accumulator) kept_.push_back(copy_to(Device::cpu(), inputs_[i].view));
    return std::move(kept_);
  }

  ExecContext& ctx() { return live_->ctx(); }
  std::size_t input_bytes() const {
    std::size_t bytes = 0;
    for (const Tensor& t : inputs_) bytes += t.buffer.bytes();
    return bytes;
  }
  bool has_backward() const { return !outputs_.empty() && case_.backward_elements > 0; }

 private:
  static Tensor draw(const KernelInput& in, DType dtype, Device device, const Rng& rng) {
    constexpr std::int64_t kDistinct = 1 << 20;  // drawing billions would take longer than measuring
    const Tensor host(in.shape, dtype);
    if (in.kind == Kind::Bytes) {
      std::memcpy(host.view.data, in.contents.data(), in.contents.size());
      return copy_to(device, host.view);
    }
    const std::int64_t n = in.shape.numel();
    for (std::int64_t i = 0; i < std::min(n, kDistinct); ++i) {
      const double u = in.lo + (in.hi - in.lo) * rng.uniform(static_cast<std::uint64_t>(i));
      // On bf16's grid, so that every implementation sees the same numbers.
      const bool real = in.kind != Kind::Ids;
      set_element(host.view, i, real ? double(float(bf16(float(u)))) : std::floor(u));
    }
    for (std::int64_t i = kDistinct; i < n; ++i) set_element(host.view, i, element(host.view, i % kDistinct));
    return copy_to(device, host.view);
  }

  Tensor draw_gradient(const TensorView& y, std::size_t k) const {
    // A loss is seeded with ones.
    const double lo = case_.seeded_with_ones ? 1 : -1;
    return draw({.shape = y.shape, .lo = lo, .hi = 1}, y.dtype, y.device, Rng{11, k});
  }

  const KernelCase& case_;
  Impl impl_;
  std::vector<Tensor> inputs_, grads_, douts_, kept_;
  std::deque<Parameter> parameters_;
  std::unique_ptr<Workspace> live_;
  VarList outputs_;
  bool keep_outputs_ = false;
};

double worst_error(const KernelCase& c, Impl impl, DType storage) {
  const std::vector<Tensor> got = Instance(c, impl, storage, 7).results(),
                            want = Instance(c, Impl::Ref, DType::F64, 7).results();
  double worst = 0;
  for (std::size_t k = 0; k < want.size(); ++k) {
    double difference = 0, norm = 0;
    for (std::int64_t i = 0; i < want[k].view.numel(); ++i) {
      const double w = element(want[k].view, i), d = element(got[k].view, i) - w;
      difference += d * d;
      norm += w * w;
    }
    const double error = std::sqrt(difference / std::max(norm, 1e-30));
    worst = std::max(worst, std::isnan(error) ? INFINITY : error);
  }
  return worst;
}

struct KernelOptions {
  std::string device = "auto", precision, only;
  KernelSizes sizes;
  std::int64_t repeats = 10;
  std::optional<std::string> json, compare;
};

// The median of single runs over instances in turn, so that no run finds its inputs in a cache.
double median_seconds(std::vector<std::unique_ptr<Instance>>& instances, bool backward,
                      std::int64_t repeats) {
  std::vector<std::optional<DeviceGraph>> graphs(instances.size());
  const auto run = [&](std::size_t i) {
    if (graphs[i]) {
      graphs[i]->launch(instances[i]->ctx().stream);
    } else {
      instances[i]->pass(instances[i]->ctx(), backward);
    }
  };
  for (std::size_t i = 0; i < instances.size(); ++i) {
    run(i);  // libraries load their code in the first call
    std::string why;
    graphs[i] = DeviceGraph::record(
        instances[i]->ctx().stream, [&] { instances[i]->pass(instances[i]->ctx(), backward); }, &why);
  }
  std::vector<double> seconds;
  for (std::int64_t n = 0; n < repeats; ++n) {
    const auto i = static_cast<std::size_t>(n) % instances.size();
    const Stream& stream = instances[i]->ctx().stream;
    if (cuda::elapsed_seconds && stream.device().kind == DeviceKind::Cuda) {
      seconds.push_back(cuda::elapsed_seconds(stream.native(), [&] { run(i); }));
    } else {
      const double begin = now_seconds();
      run(i);
      seconds.push_back(now_seconds() - begin);
    }
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2),
                   seconds.end());
  return seconds[seconds.size() / 2];
}

class Bench {
 public:
  Bench(const KernelOptions& o, BenchReport& report)
      : options_(o), report_(report), impl_(impl_of(parse_device(o.device))) {
    const bool cuda = impl_ == Impl::Cuda;
    storage_ = (o.precision.empty() ? cuda : o.precision == "bf16") ? DType::BF16 : DType::F32;
    matmul_ = measure_yardstick(device_of(impl_), storage_).flops;
    copy_ = cuda && cuda::copy_bytes_per_s ? cuda::copy_bytes_per_s(0) : host_copy_bytes_per_s();
    report.text("device",
                cuda && cuda::device_info ? cuda::device_info(0).name : to_string(device_of(impl_)));
    report.text("storage", std::string(name(storage_)));
    report.value("matmul", matmul_ / 1e12, "TFLOP/s");
    report.value("copy", copy_ / 1e9, "GB/s");
    if (o.compare) read_base(*o.compare);
  }

  void run(const KernelCase& small, const KernelCase& c) {
    const double error = worst_error(small, impl_, storage_);
    const double allowed = storage_ == DType::BF16 ? 2e-2 : 1e-4;
    report_.value(c.name + ".error", error, "");
    if (!(error <= allowed)) {
      fail(Exit::Failure, "bench kernels: {}: relative error {} against the reference, allowed {}.", c.name,
           error, allowed);
    }
    std::vector<std::unique_ptr<Instance>> instances;
    instances.push_back(std::make_unique<Instance>(c, impl_, storage_, 1));
    constexpr std::size_t kBeyondCaches = std::size_t{256} << 20;
    while (instances.size() < 4 && instances.size() * instances[0]->input_bytes() < kBeyondCaches)
      instances.push_back(std::make_unique<Instance>(c, impl_, storage_, instances.size() + 1));
    const double forward = median_seconds(instances, false, options_.repeats);
    row(c.name + ".forward", forward, c.forward_elements, c.forward_bytes, c.forward_flops);
    if (!instances[0]->has_backward()) return;
    const double both = median_seconds(instances, true, options_.repeats);
    row(c.name + ".backward", both - forward, c.backward_elements, c.backward_bytes, c.backward_flops);
  }

 private:
  void row(const std::string& what, double seconds, double elements, double bytes, double flops) {
    const double moved = elements * static_cast<double>(size_of(storage_)) + bytes;
    const double floor = std::max(moved / copy_, matmul_ > 0 ? flops / matmul_ : 0);
    report_.value(what + ".ms", 1e3 * seconds, "ms");
    if (moved > 0) report_.value(what + ".GB_per_s", moved / seconds / 1e9, "GB/s");
    if (flops > 0) report_.value(what + ".TFLOP_per_s", flops / seconds / 1e12, "TFLOP/s");
    report_.value(what + ".of_roofline", floor / seconds, "");
    if (base_.contains(what + ".ms"))
      report_.value(what + ".over_base", 1e3 * seconds / base_[what + ".ms"]["value"].get<double>(), "");
  }

  void read_base(const std::string& file) {
    std::ifstream in(file);
    const nlohmann::json json = nlohmann::json::parse(in, nullptr, false);
    if (!json.is_object() || !json.contains("values"))
      fail(Exit::Config, "--compare: {} is not a file that --json wrote.", file);
    base_ = json["values"];
  }

  const KernelOptions& options_;
  BenchReport& report_;
  Impl impl_;
  DType storage_;
  double matmul_ = 0, copy_ = 0;
  nlohmann::json base_ = nlohmann::json::object();
};

}  // namespace

int bench_kernels_main(int argc, char** argv) {
  KernelOptions o;
  KernelSizes& s = o.sizes;
  std::int64_t threads = 0;
  Options options("rwkv bench kernels",
                  "Every op alone: right first, then its time against memory and matrix rates.");
  options.text("--device", o.device, "auto, cpu or cuda");
  options.text("--precision", o.precision, "f32 or bf16: storage; default: the device's own");
  options.text("--only", o.only, "Just the op of this name");
  options.count("-B,--batch", s.B, "Sequences");
  options.count("-T,--time", s.T, "Tokens of each");
  options.count("-C,--width", s.C, "Channels");
  options.count("-N,--head-size", s.N, "Channels per head");
  options.count("-F,--ffn", s.F, "Channels of the feed-forward part");
  options.count("-V,--vocab", s.V, "Vocabulary");
  options.count("--repeats", o.repeats, "Timed runs; their median counts");
  options.count("--threads", threads, "Threads; 0: one per core");
  options.text("--json", o.json, "Also write the figures to this file");
  options.text("--compare", o.compare, "A file that --json wrote: also print times over its times");
  if (!options.parse(argc, argv)) return 0;
  if (s.B < 1 || s.T < 1 || s.N < 16 || s.N > 256 || s.N % 16 != 0 || s.C < s.N || s.C % s.N != 0 ||
      s.F < 1 || s.V < 2 || o.repeats < 1)
    fail(Exit::Config,
         "rwkv bench kernels: sizes must be at least 1, the head size a multiple of 16 that divides C.");
  use_threads(threads);
  BenchReport report("kernels");
  report.text("sizes", format("B {}, T {}, C {}, N {}, F {}, V {}", s.B, s.T, s.C, s.N, s.F, s.V));
  const std::vector<KernelCase> all = kernel_cases(s);
  const std::vector<KernelCase> small =
      kernel_cases({.B = 2, .T = 33, .C = 2 * s.N, .N = s.N, .F = 4 * s.N, .V = 300});
  Bench bench(o, report);
  bool found = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!o.only.empty() && o.only != all[i].name) continue;
    found = true;
    bench.run(small[i], all[i]);
  }
  if (!found) fail(Exit::Config, "--only: no op is called \"{}\".", o.only);
  report.write(o.json);
  return 0;
}

}  // namespace rt
