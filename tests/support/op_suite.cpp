#include "tests/support/op_suite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>

#include "rt/core/parallel.h"
#include "tests/support/tolerance.h"

namespace rt::testing {
namespace {

using Kind = InputSpec::Kind;
using Values = std::vector<std::vector<double>>;  // per input or output

constexpr std::size_t kArena = std::size_t{8} << 20;

struct Run {
  Values outputs, gradients;  // gradients per input, empty when not differentiable
  std::vector<Shape> output_shapes;
};

struct Options {
  Impl impl = Impl::Ref;
  DType storage = DType::F64;
  bool record = true;
  bool guard = false;
  const Values* douts = nullptr;          // upstream gradients; null: drawn from the Rng
  std::map<std::size_t, GradMode> modes;  // per input; default Overwrite
};

double round_to(double x, DType t) {
  if (t == DType::F32) return static_cast<double>(static_cast<float>(x));
  if (t == DType::BF16) return static_cast<double>(static_cast<float>(bf16(static_cast<float>(x))));
  return x;
}

DType storage_of(const InputSpec& in, const Options& o) {
  if (in.kind == Kind::Mask) return DType::U8;
  if (in.kind == Kind::Ids) return DType::I32;
  if (in.kind == Kind::State && o.storage != DType::F64) return DType::F32;
  return o.storage;
}

// Inputs are drawn once and rounded to `grid`, so that every implementation sees the same numbers.
Values draw_inputs(const OpCase& c, DType grid) {
  Values all;
  std::uint64_t stream = 1;
  for (const InputSpec& in : c.inputs) {
    const Rng rng{17, stream++};
    std::vector<double> v(static_cast<std::size_t>(in.shape.numel()));
    for (std::size_t i = 0; i < v.size(); ++i) {
      const double u = rng.uniform(i);
      if (in.kind == Kind::Mask) v[i] = u < in.hi ? 1 : 0;
      if (in.kind == Kind::Ids) v[i] = std::floor(in.lo + u * (in.hi - in.lo));
      if (in.kind == Kind::State)
        v[i] = round_to(in.lo + u * (in.hi - in.lo), grid == DType::F64 ? grid : DType::F32);
      if (in.kind == Kind::Activation || in.kind == Kind::Weight)
        v[i] = round_to(in.lo + u * (in.hi - in.lo), grid);
    }
    all.push_back(std::move(v));
  }
  return all;
}

std::vector<double> read(const TensorView& view) {
  std::vector<double> v(static_cast<std::size_t>(view.numel()));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = element(view, static_cast<std::int64_t>(i));
  return v;
}

// The whole life of one op: inputs, forward, random upstream gradients, backward.
class Harness {
 public:
  Harness(const OpCase& c, const Values& inputs, const Options& o) : case_(c), options_(o) {
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      const InputSpec& in = c.inputs[i];
      tensors_.emplace_back(in.shape, storage_of(in, o));
      for (std::size_t k = 0; k < inputs[i].size(); ++k) {
        set_element(tensors_.back().view, static_cast<std::int64_t>(k), inputs[i][k]);
      }
      const bool accumulates = in.kind == Kind::Weight && o.storage != DType::F64;
      grads_.emplace_back(in.shape, accumulates ? DType::F32 : storage_of(in, o));
      if (mode(i) == GradMode::Overwrite) {
        std::memset(grads_.back().view.data, 0xff, grads_.back().view.nbytes());
      } else if (in.kind != Kind::Ids && in.kind != Kind::Mask) {
        for (std::int64_t k = 0; k < in.shape.numel(); ++k) set_element(grads_.back().view, k, 1.0);
      }
    }
  }

  GradMode mode(std::size_t i) const {
    if (!case_.inputs[i].differentiable || !options_.record) return GradMode::Skip;
    const auto found = options_.modes.find(i);
    return found == options_.modes.end() ? GradMode::Overwrite : found->second;
  }

  Run run(Workspace& ws) {
    Tape tape(ws.ctx(), options_.record ? Record::Yes : Record::No);
    parameters_.clear();
    VarList in;
    for (std::size_t i = 0; i < case_.inputs.size(); ++i) {
      if (case_.inputs[i].kind == Kind::Weight) {
        auto p = std::make_unique<Parameter>();
        p->value = p->master = tensors_[i].view;
        p->grad = grads_[i].view;
        p->trainable = mode(i) != GradMode::Skip;
        p->has_grad = mode(i) == GradMode::Accumulate;
        in.push_back(tape.param(*p));
        parameters_.push_back(std::move(p));
      } else {
        in.push_back(tape.input(tensors_[i].view, {grads_[i].view, mode(i)}));
      }
    }
    const VarList out = case_.run(tape, in);
    Run result;
    for (std::size_t k = 0; k < out.size(); ++k) {
      result.outputs.emplace_back();
      result.output_shapes.push_back(out[k] ? tape.value(out[k]).shape : Shape{0});
      if (out[k] && !ws.ctx().dry_run) result.outputs.back() = read(tape.value(out[k]));
    }
    if (options_.record) backward(tape, ws, out);
    for (std::size_t i = 0; i < grads_.size(); ++i) {
      result.gradients.emplace_back();
      if (case_.inputs[i].differentiable && options_.record && !ws.ctx().dry_run) {
        result.gradients.back() = read(grads_[i].view);
      }
    }
    return result;
  }

 private:
  void backward(Tape& tape, Workspace& ws, const VarList& out) {
    std::vector<Tensor> seeds;
    seeds.reserve(out.size());
    for (std::size_t k = 0; k < out.size(); ++k) {
      if (!out[k] || !tape.needs_grad(out[k])) continue;
      const TensorView& v = tape.value(out[k]);
      seeds.emplace_back(v.shape, v.dtype);
      const Rng rng{23, 100 + k};
      for (std::int64_t i = 0; i < v.numel(); ++i) {
        const double drawn = round_to(rng.uniform(static_cast<std::uint64_t>(i)) - 0.5, DType::BF16);
        set_element(seeds.back().view, i,
                    options_.douts ? (*options_.douts)[k][static_cast<std::size_t>(i)] : drawn);
      }
      tape.seed(out[k], seeds.back().view);
    }
    tape.backward();
    EXPECT_EQ(ws.grads().live(), 0u) << case_.name << ": gradients left in the pool";
  }

  const OpCase& case_;
  Options options_;
  std::vector<Tensor> tensors_, grads_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
};

Run run_case(const OpCase& c, const Values& inputs, const Options& o) {
  Workspace ws(Device::cpu(), o.impl, kArena, kArena, kArena);
  if (o.guard) {
    ws.ctx().saved.guard();
    ws.ctx().scratch.guard();
  }
  return Harness(c, inputs, o).run(ws);
}

double relative_rms(const std::vector<double>& got, const std::vector<double>& want) {
  double diff = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    diff += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  const double rms = std::sqrt(diff) / (norm > 0 ? std::sqrt(norm) : 1.0);
  return std::isnan(rms) ? INFINITY : rms;
}

double loss(const Run& run, const Values& douts) {
  double total = 0;
  for (std::size_t k = 0; k < run.outputs.size(); ++k) {
    for (std::size_t i = 0; i < run.outputs[k].size(); ++i) total += run.outputs[k][i] * douts[k][i];
  }
  return total;
}

Values draw_douts(const Run& run) {
  Values douts;
  for (std::size_t k = 0; k < run.outputs.size(); ++k) {
    const Rng rng{29, k};
    std::vector<double> d(run.outputs[k].size());
    for (std::size_t i = 0; i < d.size(); ++i) d[i] = round_to(rng.uniform(i) - 0.5, DType::BF16);
    douts.push_back(std::move(d));
  }
  return douts;
}

void expect_bits(const Run& a, const Run& b, const std::string& what) {
  for (std::size_t k = 0; k < a.outputs.size(); ++k)
    EXPECT_EQ(a.outputs[k], b.outputs[k]) << what << " output " << k;
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_EQ(a.gradients[i], b.gradients[i]) << what << " gradient " << i;
  }
}

void expect_close(const OpCase& c, const Run& got, const Run& want, double out_tol, double grad_tol,
                  const std::string& what) {
  for (std::size_t k = 0; k < want.outputs.size(); ++k) {
    EXPECT_LE(relative_rms(got.outputs[k], want.outputs[k]), out_tol)
        << c.name << " " << what << " output " << k;
  }
  for (std::size_t i = 0; i < want.gradients.size(); ++i) {
    EXPECT_LE(relative_rms(got.gradients[i], want.gradients[i]), grad_tol)
        << c.name << " " << what << " gradient of " << c.inputs[i].name;
  }
}

// Cuts the time-major inputs (and upstream gradients) to [begin, end).
std::vector<double> cut_time(const std::vector<double>& v, const Shape& s, std::int64_t begin,
                             std::int64_t end) {
  const std::int64_t B = s[0], T = s[1], inner = s.numel() / (B * T);
  std::vector<double> out;
  for (std::int64_t b = 0; b < B; ++b) {
    out.insert(out.end(), v.begin() + (b * T + begin) * inner, v.begin() + (b * T + end) * inner);
  }
  return out;
}

OpCase cut_case(const OpCase& c, std::int64_t T) {
  OpCase part = c;
  for (InputSpec& in : part.inputs) {
    if (in.time_major) in.shape[1] = T;
  }
  return part;
}

std::int64_t time_of(const OpCase& c) {
  for (const InputSpec& in : c.inputs) {
    if (in.time_major) return in.shape[1];
  }
  return 0;
}

// Runs [begin, end) with the state inputs of `inputs` as they are.
Run run_part(const OpCase& c, const Values& inputs, std::int64_t begin, std::int64_t end, Options o) {
  Values part = inputs;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (c.inputs[i].time_major) part[i] = cut_time(inputs[i], c.inputs[i].shape, begin, end);
  }
  return run_case(cut_case(c, end - begin), part, o);
}

void carry_state(const OpCase& c, const Run& run, Values& inputs) {
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (c.inputs[i].state_out >= 0) inputs[i] = run.outputs[static_cast<std::size_t>(c.inputs[i].state_out)];
  }
}

bool is_state_output(const OpCase& c, std::size_t k) {
  for (const InputSpec& in : c.inputs) {
    if (in.state_out == static_cast<int>(k)) return true;
  }
  return false;
}

void expect_part(const OpCase& c, const Run& whole, const Run& part, std::int64_t begin, std::int64_t end,
                 double tol, const std::string& what) {
  for (std::size_t k = 0; k < whole.outputs.size(); ++k) {
    if (is_state_output(c, k) || whole.outputs[k].empty()) continue;
    const auto want = cut_time(whole.outputs[k], whole.output_shapes[k], begin, end);
    EXPECT_LE(relative_rms(part.outputs[k], want), tol)
        << c.name << " " << what << " at " << begin << " output " << k;
  }
}

}  // namespace

void check_reference_gradients(const OpCase& c) {
  Values inputs = draw_inputs(c, DType::F64);
  Options o;
  const Values douts = draw_douts(run_case(c, inputs, o));
  o.douts = &douts;
  const Run base = run_case(c, inputs, o);
  Options forward_only;
  forward_only.record = true;  // T == 1 without recording would pick the step form; that has its own test
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.inputs[i].differentiable) continue;
    const std::size_t n = inputs[i].size(), probes = std::min<std::size_t>(n, 24);
    double diff = 0, norm = 0;
    for (std::size_t p = 0; p < probes; ++p) {
      const std::size_t k = n <= probes ? p : Rng{31, i}.below(p, n);
      const double h = 1e-5, keep = inputs[i][k];
      inputs[i][k] = keep + h;
      const double up = loss(run_case(c, inputs, forward_only), douts);
      inputs[i][k] = keep - h;
      const double down = loss(run_case(c, inputs, forward_only), douts);
      inputs[i][k] = keep;
      const double numeric = (up - down) / (2 * h);
      diff += (numeric - base.gradients[i][k]) * (numeric - base.gradients[i][k]);
      norm += numeric * numeric;
    }
    EXPECT_LE(std::sqrt(diff), c.gradcheck * std::max(1.0, std::sqrt(norm)))
        << c.name << " d/d" << c.inputs[i].name;
  }
}

void check_cpu_matches_reference(const OpCase& c) {
  for (const DType storage : {DType::F32, DType::BF16}) {
    if (storage == DType::BF16 && !c.bf16) continue;
    const Tolerance tol = tolerance(storage);
    const bool f32 = storage == DType::F32;
    const double out_tol = std::max(f32 ? c.f32_output : c.bf16_output, tol.output);
    const double grad_tol = std::max(f32 ? c.f32_gradient : c.bf16_gradient, tol.gradient);
    const Values inputs = draw_inputs(c, storage);
    const Run want = run_case(c, inputs, {});
    Options o;
    o.impl = Impl::Cpu;
    o.storage = storage;
    o.guard = true;
    expect_close(c, run_case(c, inputs, o), want, out_tol, grad_tol, std::string(name(storage)));
  }
}

void check_dry_run_is_exact(const OpCase& c) {
  const Values inputs = draw_inputs(c, DType::F32);
  Options o;
  o.impl = Impl::Cpu;
  o.storage = DType::F32;
  Workspace plan(Device::cpu(), Impl::Cpu);
  Harness(c, inputs, o).run(plan);
  Workspace live(Device::cpu(), Impl::Cpu, plan.saved().high_water(), plan.scratch().high_water(),
                 plan.grads().high_water());
  Harness(c, inputs, o).run(live);  // throws when the plan was too small
  EXPECT_EQ(live.saved().high_water(), plan.saved().high_water()) << c.name;
  EXPECT_EQ(live.scratch().high_water(), plan.scratch().high_water()) << c.name;
  EXPECT_EQ(live.grads().high_water(), plan.grads().high_water()) << c.name;
}

void check_bits_do_not_move(const OpCase& c) {
  const Values inputs = draw_inputs(c, DType::F32);
  Options o;
  o.impl = Impl::Cpu;
  o.storage = DType::F32;
  const int threads = num_threads();
  set_num_threads(1);
  const Run one = run_case(c, inputs, o);
  set_num_threads(4);
  const Run four = run_case(c, inputs, o);
  const Run again = run_case(c, inputs, o);
  set_num_threads(threads);
  expect_bits(one, four, c.name + " threads 1 and 4");
  expect_bits(four, again, c.name + " two runs");
}

void check_grad_modes(const OpCase& c) {
  const Values inputs = draw_inputs(c, DType::F32);
  for (const Impl impl : {Impl::Ref, Impl::Cpu}) {
    Options o;
    o.impl = impl;
    o.storage = impl == Impl::Ref ? DType::F64 : DType::F32;
    const Run full = run_case(c, inputs, o);
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      if (!c.inputs[i].differentiable) continue;
      Options other = o;
      other.modes[i] = GradMode::Accumulate;  // on top of ones
      const Run added = run_case(c, inputs, other);
      std::vector<double> want = full.gradients[i];
      for (double& v : want) v += 1;
      EXPECT_LE(relative_rms(added.gradients[i], want), 1e-6) << c.name << " accumulate " << c.inputs[i].name;
      other.modes[i] = GradMode::Skip;
      const Run skipped = run_case(c, inputs, other);
      EXPECT_EQ(skipped.gradients[i], std::vector<double>(want.size(), 1.0))
          << c.name << " skip " << c.inputs[i].name;
      for (std::size_t j = 0; j < c.inputs.size(); ++j) {
        if (j == i || !c.inputs[j].differentiable) continue;
        EXPECT_EQ(skipped.gradients[j], full.gradients[j])
            << c.name << " skipping " << c.inputs[i].name << " moved " << c.inputs[j].name;
      }
    }
  }
}

void check_sequence_split(const OpCase& c) {
  const std::int64_t T = time_of(c);
  if (T < 2) return;
  for (const Impl impl : {Impl::Ref, Impl::Cpu}) {
    Options o;
    o.impl = impl;
    o.storage = impl == Impl::Ref ? DType::F64 : DType::F32;
    o.record = false;
    const double tol = impl == Impl::Ref ? 1e-12 : 1e-5;
    const Values inputs = draw_inputs(c, DType::F32);
    const Run whole = run_case(c, inputs, o);
    Values state = inputs;
    const std::int64_t cut = T / 3 + 1;
    const Run head = run_part(c, state, 0, cut, o);
    expect_part(c, whole, head, 0, cut, tol, "split");
    carry_state(c, head, state);
    const Run tail = run_part(c, state, cut, T, o);
    expect_part(c, whole, tail, cut, T, tol, "split");
    for (std::size_t k = 0; k < whole.outputs.size(); ++k) {
      if (!is_state_output(c, k)) continue;
      EXPECT_LE(relative_rms(tail.outputs[k], whole.outputs[k]), tol) << c.name << " state";
    }
    state = inputs;
    for (std::int64_t t = 0; t < T; ++t) {
      const Run step = run_part(c, state, t, t + 1, o);
      expect_part(c, whole, step, t, t + 1, tol * 10, "step");
      carry_state(c, step, state);
    }
  }
}

void check_causality(const OpCase& c) {
  const std::int64_t T = time_of(c);
  if (T < 2) return;
  Options o;
  o.impl = Impl::Cpu;
  o.storage = DType::F32;
  Values inputs = draw_inputs(c, DType::F32);
  const Run base = run_case(c, inputs, o);
  const std::int64_t t = T / 2;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.inputs[i].time_major || c.inputs[i].kind != Kind::Activation) continue;
    const std::int64_t inner = c.inputs[i].shape.numel() / (c.inputs[i].shape[0] * T);
    for (std::int64_t k = 0; k < inner; ++k) inputs[i][static_cast<std::size_t>(t * inner + k)] *= 0.5;
  }
  const Run moved = run_case(c, inputs, o);
  for (std::size_t k = 0; k < base.outputs.size(); ++k) {
    if (is_state_output(c, k) || base.output_shapes[k].rank() < 2 || base.output_shapes[k][1] != T) continue;
    EXPECT_EQ(cut_time(moved.outputs[k], base.output_shapes[k], 0, t),
              cut_time(base.outputs[k], base.output_shapes[k], 0, t))
        << c.name << ": output " << k << " saw the future";
  }
}

}  // namespace rt::testing
