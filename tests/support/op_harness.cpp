#include "tests/support/op_harness.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>

namespace rt::testing {
namespace {

constexpr std::size_t kGuardRoom = 256 * 256;  // a band of 256 bytes for each of so many tensors

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

// The whole life of one op: inputs, forward, random upstream gradients, backward.
class Harness {
 public:
  Harness(const OpCase& c, const Values& inputs, const Options& o) : case_(c), options_(o) {
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      const InputSpec& in = c.inputs[i];
      const Tensor value(in.shape, storage_of(in, o));
      for (std::size_t k = 0; k < inputs[i].size(); ++k) {
        set_element(value.view, static_cast<std::int64_t>(k), inputs[i][k]);
      }
      tensors_.push_back(copy_to(device_of(o.impl), value.view));
      const bool accumulates = in.kind == Kind::Weight && o.storage != DType::F64;
      const Tensor grad(in.shape, accumulates ? DType::F32 : storage_of(in, o));
      if (mode(i) == GradMode::Overwrite) {
        std::memset(grad.view.data, 0xff, grad.view.nbytes());
      } else if (in.kind != Kind::Ids && in.kind != Kind::Mask) {
        for (std::int64_t k = 0; k < in.shape.numel(); ++k) set_element(grad.view, k, 1.0);
      }
      grads_.push_back(copy_to(device_of(o.impl), grad.view));
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
      if (out[k] && !ws.ctx().dry_run) result.outputs.back() = numbers(tape.value(out[k]));
    }
    if (options_.record) backward(tape, ws, out);
    for (std::size_t i = 0; i < grads_.size(); ++i) {
      result.gradients.emplace_back();
      if (case_.inputs[i].differentiable && options_.record && !ws.ctx().dry_run) {
        result.gradients.back() = numbers(grads_[i].view);
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
      if (ws.ctx().dry_run) {
        tape.seed(out[k], untouchable(v.shape, v.dtype, v.device));
        continue;
      }
      const Tensor host(v.shape, v.dtype);
      const Rng rng{23, 100 + k};
      for (std::int64_t i = 0; i < v.numel(); ++i) {
        const double drawn = round_to(rng.uniform(static_cast<std::uint64_t>(i)) - 0.5, DType::BF16);
        set_element(host.view, i, options_.douts ? (*options_.douts)[k][static_cast<std::size_t>(i)] : drawn);
      }
      seeds.push_back(copy_to(v.device, host.view));
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

}  // namespace

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

Run run_in(Workspace& workspace, const OpCase& c, const Values& inputs, const Options& o) {
  return Harness(c, inputs, o).run(workspace);
}

// What an op needs depends on the device: a matrix product alone may take tens of megabytes.
Run run_case(const OpCase& c, const Values& inputs, const Options& o) {
  Harness harness(c, inputs, o);
  Workspace plan(device_of(o.impl), o.impl);
  harness.run(plan);
  const std::size_t more = o.guard ? kGuardRoom : 0;
  Workspace live(device_of(o.impl), o.impl, plan.saved().high_water() + more,
                 plan.scratch().high_water() + more, plan.grads().high_water());
  if (o.guard) {
    live.ctx().saved.guard();
    live.ctx().scratch.guard();
  }
  return harness.run(live);
}

}  // namespace rt::testing
