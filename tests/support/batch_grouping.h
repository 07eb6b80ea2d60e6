#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

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

// Outputs (sequence after sequence, for case.run with one output), then gradients per input.
inline std::vector<Bytes> run_grouped(const OpCase& c, DType dtype, std::int64_t B, std::int64_t group) {
  std::vector<Tensor> values, grads;
  std::vector<std::unique_ptr<Parameter>> parameters;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const InputSpec& in = c.inputs[i];
    const bool weight = in.kind == InputSpec::Kind::Weight;
    values.emplace_back(in.shape, in.kind == InputSpec::Kind::Ids ? DType::I32 : dtype);
    fill_uniform(values.back().view, in.lo, in.hi, i);
    grads.emplace_back(in.shape, weight ? DType::F32 : values.back().view.dtype);
    parameters.push_back(std::make_unique<Parameter>());
    parameters.back()->value = values.back().view;
    parameters.back()->grad = grads.back().view;
  }
  Workspace ws(Device::cpu(), Impl::Cpu, 32 << 20, 96 << 20, 32 << 20);
  std::vector<Bytes> all(1);
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
    const Var out = c.run(tape, in).at(0);
    append(all[0], tape.value(out));
    Shape whole = tape.value(out).shape;
    whole[0] = B;
    const Tensor seed(whole, tape.value(out).dtype);
    fill_uniform(seed.view, -1, 1, 99);
    tape.seed(out, seed.view.slice(0, first, first + group));
    tape.backward();
  }
  for (const Tensor& grad : grads) append(all.emplace_back(), grad.view);
  return all;
}

inline void check_batch_grouping(const OpCase& c, std::int64_t B) {
  for (const DType dtype : {DType::F32, DType::BF16}) {
    const auto whole = run_grouped(c, dtype, B, B);
    for (const std::int64_t group : {std::int64_t{1}, B / 2}) {
      const auto parts = run_grouped(c, dtype, B, group);
      for (std::size_t i = 0; i < whole.size(); ++i) {
        EXPECT_TRUE(parts[i] == whole[i])
            << c.name << " " << rt::name(dtype) << ", " << group << " of " << B
            << " sequences at a time: " << (i == 0 ? "output" : "gradient of " + c.inputs[i - 1].name);
      }
    }
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      if (!c.inputs[i].differentiable) continue;
      EXPECT_NE(whole[i + 1], Bytes(whole[i + 1].size())) << c.name << " " << c.inputs[i].name;
    }
  }
}

}  // namespace rt::testing
