#include <gtest/gtest.h>

#include <memory>

#include "rt/core/rng.h"
#include "rt/ops/group_norm_bonus_gate.h"
#include "rt/ops/key_prepare.h"
#include "rt/ops/layer_norm.h"
#include "rt/ops/low_rank.h"
#include "rt/ops/token_shift.h"
#include "tests/support/op_suite.h"

// A step's parameter gradients have the same bits however its sequences are grouped into micro-batches.
namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;
using Kind = InputSpec::Kind;

constexpr std::int64_t kB = 4, kT = 70, kC = 96, kN = 32;

InputSpec activation(const char* name) { return {.name = name, .shape = {kB, kT, kC}, .lo = -0.5, .hi = 1}; }
InputSpec weight(const char* name, rt::Shape shape = {kC}) {
  return {.name = name, .shape = shape, .kind = Kind::Weight};
}

std::vector<OpCase> cases() {
  return {{.name = "layer_norm",
           .inputs = {activation("x"), weight("weight"), weight("bias")},
           .run = [](rt::Tape& t,
                     const rt::VarList& in) { return rt::VarList{rt::layer_norm(t, in[0], in[1], in[2])}; }},
          {.name = "token_shift",
           .inputs = {activation("x"),
                      weight("mix0"),
                      weight("mix1"),
                      {.name = "shift_state", .shape = {kB, kC}},
                      {.name = "reset", .shape = {kB, kT}, .kind = Kind::Mask, .hi = 0.1}},
           .run =
               [](rt::Tape& t, const rt::VarList& in) {
                 const auto r = rt::token_shift(t, in[0], std::span(in).subspan(1, 2), in[3], in[4]);
                 return rt::VarList{r.y[0], r.y[1], r.state};
               }},
          {.name = "key_prepare",
           .inputs = {activation("k"), activation("rate"), weight("k_k"), weight("k_a")},
           .run =
               [](rt::Tape& t, const rt::VarList& in) {
                 const auto r = rt::key_prepare(t, in[0], in[1], in[2], in[3], kN);
                 return rt::VarList{r.k, r.a, r.b};
               }},
          {.name = "group_norm_bonus_gate",
           .inputs = {activation("y"), activation("r"), activation("k"), activation("v"), activation("gate"),
                      weight("r_k", {kC / kN, kN}), weight("weight"), weight("bias")},
           .run =
               [](rt::Tape& t, const rt::VarList& in) {
                 return rt::VarList{rt::group_norm_bonus_gate(t, in[0], in[1], in[2], in[3], in[4], in[5],
                                                              in[6], in[7], kN, 64e-5)};
               }},
          {.name = "low_rank",
           .inputs = {activation("x"), weight("w1", {kC, 20}), weight("w2", {20, kC}), weight("bias")},
           .run = [](rt::Tape& t, const rt::VarList& in) {
             return rt::VarList{
                 rt::low_rank(t, in[0], in[1], in[2], in[3], rt::Activation::Tanh, rt::Activation::Sigmoid)};
           }}};
}

void fill(const rt::TensorView& view, const InputSpec& in, std::uint64_t stream) {
  const rt::Rng rng{41, stream};
  for (std::int64_t i = 0; i < view.numel(); ++i) {
    const double u = rng.uniform(static_cast<std::uint64_t>(i));
    if (in.kind == Kind::Mask) {
      view.as<std::uint8_t>()[i] = u < in.hi ? 1 : 0;
    } else {
      rt::set_element(view, i, in.lo + u * (in.hi - in.lo));
    }
  }
}

// Parameter gradients after all sequences went through, `group` at a time.
std::vector<std::vector<float>> gradients(const OpCase& c, rt::DType dtype, std::int64_t group) {
  std::vector<rt::Tensor> values, grads;
  std::vector<std::unique_ptr<rt::Parameter>> parameters;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const InputSpec& in = c.inputs[i];
    values.emplace_back(in.shape, in.kind == Kind::Mask ? rt::DType::U8 : dtype);
    fill(values.back().view, in, i);
    grads.emplace_back(in.shape, rt::DType::F32);
    parameters.push_back(std::make_unique<rt::Parameter>());
    parameters.back()->value = values.back().view;
    parameters.back()->grad = grads.back().view;
  }
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Cpu, 4 << 20, 4 << 20, 4 << 20);
  for (std::int64_t first = 0; first < kB; first += group) {
    rt::Tape tape(ws.ctx(), rt::Record::Yes);
    rt::VarList in;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      in.push_back(c.inputs[i].kind == Kind::Weight
                       ? tape.param(*parameters[i])
                       : tape.input(values[i].view.slice(0, first, first + group)));
    }
    const rt::VarList out = c.run(tape, in);
    std::vector<rt::Tensor> seeds;
    seeds.reserve(out.size());
    for (std::size_t k = 0; k < out.size(); ++k) {
      rt::Shape whole = tape.value(out[k]).shape;
      whole[0] = kB;
      seeds.emplace_back(whole, dtype);
      fill(seeds.back().view, activation("dout"), 100 + k);
      if (tape.needs_grad(out[k])) tape.seed(out[k], seeds.back().view.slice(0, first, first + group));
    }
    tape.backward();
  }
  std::vector<std::vector<float>> all;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (c.inputs[i].kind != Kind::Weight) continue;
    const float* g = grads[i].view.as<float>();
    all.emplace_back(g, g + grads[i].view.numel());
  }
  return all;
}

TEST(MicroBatch, GroupingDoesNotMoveParameterGradients) {
  for (const OpCase& c : cases()) {
    for (const rt::DType dtype : {rt::DType::F32, rt::DType::BF16}) {
      const auto whole = gradients(c, dtype, kB);
      EXPECT_EQ(gradients(c, dtype, 1), whole) << c.name << " " << rt::name(dtype);
      EXPECT_EQ(gradients(c, dtype, 2), whole) << c.name << " " << rt::name(dtype);
      for (const auto& g : whole) EXPECT_NE(g, std::vector<float>(g.size(), 0.0f)) << c.name;
    }
  }
}

}  // namespace
