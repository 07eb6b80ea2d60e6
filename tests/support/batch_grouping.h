#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "rt/core/error.h"
#include "rt/core/rng.h"
#include "tests/support/op_suite.h"

// The CPU form on all B sequences at once and on `group` at a time must give the same bits: outputs, input
// gradients, and the sums in the weights' gradients. Every input but the weights has B as dimension 0.
namespace rt::testing {

using Bytes = std::vector<std::byte>;

inline void fill_uniform(const TensorView& view, double lo, double hi, std::uint64_t stream) {
  const Rng rng{43, stream};
  for (std::int64_t i = 0; i < view.numel(); ++i) {
    const double u = lo + rng.uniform(static_cast<std::uint64_t>(i)) * (hi - lo);
    set_element(view, i, view.dtype == DType::I32 ? std::floor(u) : u);
  }
}

inline void append(Bytes& to, const TensorView& view) {
  to.insert(to.end(), view.data, view.data + view.nbytes());
}

struct Grouped {
  std::vector<Bytes> outputs;  // each sequence after sequence
  std::vector<Bytes> gradients;
};

inline Grouped run_grouped(const OpCase& c, DType dtype, std::int64_t B, std::int64_t group) {
  std::vector<Tensor> values, grads;
  std::vector<std::unique_ptr<Parameter>> parameters;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const InputSpec& in = c.inputs[i];
    const bool weight = in.kind == InputSpec::Kind::Weight;
    const bool mask = in.kind == InputSpec::Kind::Mask;
    values.emplace_back(in.shape, in.kind == InputSpec::Kind::Ids ? DType::I32 : mask ? DType::U8 : dtype);
    // A mask's range is the probability of a 1: below it the fraction is cut to 0.
    fill_uniform(values.back().view, mask ? in.hi : in.lo, mask ? 1 + in.hi : in.hi, i);
    grads.emplace_back(in.shape, weight ? DType::F32 : values.back().view.dtype);
    parameters.push_back(std::make_unique<Parameter>());
    parameters.back()->value = values.back().view;
    parameters.back()->grad = grads.back().view;
  }
  Workspace ws(Device::cpu(), Impl::Cpu, 32 << 20, 96 << 20, 32 << 20);
  Grouped all;
  for (std::int64_t first = 0; first < B; first += group) {
    Tape tape(ws.ctx(), Record::Yes);
    VarList in;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      if (c.inputs[i].kind == InputSpec::Kind::Weight) {
        in.push_back(tape.param(*parameters[i]));
        continue;
      }
      const auto mode = c.inputs[i].differentiable ? GradMode::Overwrite : GradMode::Skip;
      in.push_back(tape.input(values[i].view.slice(0, first, first + group),
                              {grads[i].view.slice(0, first, first + group), mode}));
    }
    const VarList out = c.run(tape, in);
    all.outputs.resize(out.size());
    std::vector<Tensor> seeds;
    for (std::size_t k = 0; k < out.size(); ++k) {
      append(all.outputs[k], tape.value(out[k]));
      Shape whole = tape.value(out[k]).shape;
      whole[0] = B;
      seeds.emplace_back(whole, tape.value(out[k]).dtype);
      fill_uniform(seeds.back().view, -1, 1, 99 + k);
      tape.seed(out[k], seeds.back().view.slice(0, first, first + group));
    }
    tape.backward();
  }
  for (const Tensor& grad : grads) append(all.gradients.emplace_back(), grad.view);
  return all;
}

inline void check_batch_grouping(const OpCase& c, std::int64_t B) {
  for (const DType dtype : {DType::F32, DType::BF16}) {
    const Grouped whole = run_grouped(c, dtype, B, B);
    for (const std::int64_t group : {std::int64_t{1}, B / 2}) {
      const Grouped parts = run_grouped(c, dtype, B, group);
      const std::string how =
          format("{} {}, {} of {} sequences at a time", c.name, rt::name(dtype), group, B);
      EXPECT_TRUE(parts.outputs == whole.outputs) << how << ": outputs";
      for (std::size_t i = 0; i < c.inputs.size(); ++i)
        EXPECT_TRUE(parts.gradients[i] == whole.gradients[i]) << how << ": gradient of " << c.inputs[i].name;
    }
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      if (!c.inputs[i].differentiable) continue;
      EXPECT_NE(whole.gradients[i], Bytes(whole.gradients[i].size())) << c.name << " " << c.inputs[i].name;
    }
  }
}

}  // namespace rt::testing
