#include <cmath>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/ops/wkv7.h"
#include "train/verify_report.h"

namespace rt::verification {
namespace {

constexpr const char* kInputs[] = {"r", "w", "k", "v", "a", "b"};

struct Case {
  Shape state;   // (B, H, N, N)
  Shape tokens;  // (B, T, C)
  std::int64_t N = 0;
  Wkv7Decay decay = Wkv7Decay::Raw;
  std::vector<Tensor> inputs;  // on the device that computes, as are the next
  Tensor state0, dy, dstate1;
  Values w;
};

Case load(Golden& golden, const VerifyOptions& options) {
  Case c;
  const Shape r = golden.shape("r");
  if (r.rank() != 4) fail(Exit::Checkpoint, "{}: r has shape {}, expected (B, T, H, N).", golden.path(), r);
  const std::int64_t B = r[0], T = r[1], H = r[2];
  c.N = r[3];
  c.tokens = {B, T, H * c.N};
  c.state = {B, H, c.N, c.N};
  const std::string decay = golden.metadata("decay");
  if (decay == "exp(-exp(-0.5)*sigmoid(w))") {
    c.decay = Wkv7Decay::Clamped;
  } else if (decay != "exp(-exp(w))") {
    fail(Exit::Checkpoint, "{}: decay {} is not known here.", golden.path(), decay);
  }
  const bool ref = options.impl == Impl::Ref;
  const DType storage = ref ? DType::F64 : options.compute, accumulation = ref ? DType::F64 : DType::F32;
  for (const char* name : kInputs) c.inputs.push_back(golden.tensor(name, c.tokens, storage));
  const Device device = device_of(options.impl);
  for (Tensor& input : c.inputs) input = copy_to(device, input.view);
  c.state0 = copy_to(device, golden.tensor("state0", c.state, accumulation).view);
  c.dy = copy_to(device, golden.tensor("dy", c.tokens, storage).view);
  c.dstate1 = copy_to(device, golden.tensor("dstate1", c.state, accumulation).view);
  c.w = golden.values("w");
  return c;
}

struct Results {
  Values y, state1;
  std::vector<Values> gradients;  // of kInputs, then of state0
};

Results run_parallel(const Case& c, Impl impl) {
  Results results;
  std::vector<Tensor> gradients;
  const Device device = device_of(impl);
  for (const Tensor& input : c.inputs) gradients.emplace_back(input.view.shape, input.view.dtype, device);
  gradients.emplace_back(c.state, c.state0.view.dtype, device);
  run_planned(impl, [&](ExecContext& ctx) {
    Tape tape(ctx, Record::Yes);
    VarList in;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      in.push_back(tape.input(c.inputs[i].view, {gradients[i].view, GradMode::Overwrite}));
    }
    const Var s0 = tape.input(c.state0.view, {gradients.back().view, GradMode::Overwrite});
    const Wkv7Result out = wkv7(tape, in[0], in[1], in[2], in[3], in[4], in[5], s0, Var{}, c.N, c.decay);
    if (!ctx.dry_run) {
      results.y = read_values(tape.value(out.y));
      results.state1 = read_values(tape.value(out.state));
    }
    tape.seed(out.y, c.dy.view);
    tape.seed(out.state, c.dstate1.view);
    tape.backward();
  });
  for (const Tensor& gradient : gradients) results.gradients.push_back(read_values(gradient.view));
  return results;
}

// The single-token form: T calls that update one state in place.
Results run_steps(const Case& c, Impl impl) {
  const std::int64_t B = c.tokens[0], T = c.tokens[1], C = c.tokens[2];
  Results results;
  results.y.resize(static_cast<std::size_t>(c.tokens.numel()));
  const Device device = device_of(impl);
  const Tensor state = copy_to(device, c.state0.view);
  std::vector<HostTensor> whole;
  std::vector<Tensor> token;
  for (const Tensor& input : c.inputs) {
    whole.emplace_back(input.view);
    token.emplace_back(Shape{B, 1, C}, input.view.dtype, device);
  }
  for (std::int64_t t = 0; t < T; ++t) {
    const auto at = [&](std::int64_t b, std::int64_t i) { return (b * T + t) * C + i; };
    for (std::size_t n = 0; n < token.size(); ++n) {
      const HostTensor one(token[n].view, HostTensor::Contents::Undefined);
      for (std::int64_t i = 0; i < B * C; ++i)
        set_element(one.view(), i, element(whole[n].view(), at(i / C, i % C)));
      one.write_back();
    }
    run_planned(impl, [&](ExecContext& ctx) {
      Tape tape(ctx, Record::No);
      VarList in;
      for (const Tensor& input : token) in.push_back(tape.input(input.view));
      const Wkv7Result out =
          wkv7(tape, in[0], in[1], in[2], in[3], in[4], in[5], tape.input(state.view), Var{}, c.N, c.decay);
      if (ctx.dry_run) return;
      const Values y = read_values(tape.value(out.y));
      for (std::int64_t i = 0; i < B * C; ++i) {
        results.y[static_cast<std::size_t>(at(i / C, i % C))] = y[static_cast<std::size_t>(i)];
      }
    });
  }
  results.state1 = read_values(state.view);
  return results;
}

// d log(decay) / dw, to turn the gradient of w into that of the logarithm of the decay.
double log_decay_slope(double w, Wkv7Decay decay) {
  if (decay == Wkv7Decay::Raw) return -std::exp(w);
  return -std::exp(-0.5) / ((1 + std::exp(-w)) * (1 + std::exp(w)));
}

}  // namespace

void verify_wkv7(Golden& golden, const VerifyOptions& options, Report& report) {
  const Case c = load(golden, options);
  const bool strong = golden.metadata("case").find("strong") != std::string::npos;
  const Quantity output = strong ? Quantity::StrongOutput : Quantity::OpOutput;
  const Quantity gradient = strong ? Quantity::StrongGradient : Quantity::OpGradient;

  const Results parallel = run_parallel(c, options.impl);
  report.add("y", parallel.y, output);
  report.add("state1", parallel.state1, output);
  for (std::size_t i = 0; i < parallel.gradients.size(); ++i) {
    const std::string name = i < std::size(kInputs) ? kInputs[i] : "state0";
    report.add("grad." + name, parallel.gradients[i], gradient);
  }
  if (golden.contains("grad.log_decay")) {
    Values log_decay = parallel.gradients[1];
    for (std::size_t i = 0; i < log_decay.size(); ++i) log_decay[i] /= log_decay_slope(c.w[i], c.decay);
    report.inform("grad.log_decay", log_decay);
  }
  const Results steps = run_steps(c, options.impl);
  report.add_another("y", "step by step", steps.y, output);
  report.add_another("state1", "step by step", steps.state1, output);
}

}  // namespace rt::verification
