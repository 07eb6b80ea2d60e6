// What the op suite does not reach in the memory-bound kernels: rows of several warps, sequences of many
// blocks, micro-batches.
#include <gtest/gtest.h>

#include "rt/core/host.h"
#include "rt/ops/add_norm.h"
#include "rt/ops/group_norm_bonus_gate.h"
#include "rt/ops/key_prepare.h"
#include "rt/ops/token_shift.h"
#include "tests/support/needs_device.h"
#include "tests/support/op_harness.h"
#include "tests/support/tolerance.h"

namespace rt::testing {
namespace {

OpCase layer_norm_case(const Shape& shape) {
  const std::int64_t C = shape.back();
  return {.name = "layer_norm" + shape.to_string(),
          .inputs = {{.name = "x", .shape = shape, .lo = -2, .hi = 3},
                     {.name = "weight", .shape = {C}, .kind = Kind::Weight, .lo = 0.5, .hi = 1.5},
                     {.name = "bias", .shape = {C}, .kind = Kind::Weight}},
          .run = [](Tape& t, const VarList& in) { return VarList{layer_norm(t, in[0], in[1], in[2])}; }};
}

OpCase add_norm_case(const Shape& shape) {
  OpCase c = layer_norm_case(shape);
  c.name = "add_norm" + shape.to_string();
  c.inputs.insert(c.inputs.begin(), {.name = "a", .shape = shape});
  c.run = [](Tape& t, const VarList& in) {
    const AddNormResult r = add_norm(t, in[0], in[1], in[2], in[3]);
    return VarList{r.x, r.y};
  };
  return c;
}

OpCase token_shift_case(const Shape& shape, std::size_t mixes = 6) {
  const std::int64_t B = shape[0], T = shape[1], C = shape[2];
  OpCase c;
  c.name = format("token_shift{} mixes {}", shape.to_string(), mixes);
  c.inputs = {{.name = "x", .shape = shape}};
  for (std::size_t n = 0; n < mixes; ++n)
    c.inputs.push_back({.name = format("mix{}", n), .shape = {C}, .kind = Kind::Weight, .lo = 0});
  c.inputs.push_back({.name = "shift_state", .shape = {B, C}});
  c.inputs.push_back(
      {.name = "reset", .shape = {B, T}, .kind = Kind::Mask, .hi = 0.1, .differentiable = false});
  c.run = [mixes](Tape& t, const VarList& in) {
    const auto r = token_shift(t, in[0], std::span(in).subspan(1, mixes), in[1 + mixes], in[2 + mixes]);
    VarList out = r.y;
    out.push_back(r.state);
    return out;
  };
  return c;
}

OpCase key_prepare_case(const Shape& shape, std::int64_t head_size) {
  const std::int64_t C = shape.back();
  return {.name = "key_prepare" + shape.to_string(),
          .inputs = {{.name = "k", .shape = shape, .lo = -1, .hi = 2},
                     {.name = "rate", .shape = shape, .lo = 0.05, .hi = 0.95},
                     {.name = "k_k", .shape = {C}, .kind = Kind::Weight, .lo = -0.5, .hi = 1.5},
                     {.name = "k_a", .shape = {C}, .kind = Kind::Weight, .lo = 0.5, .hi = 1.5}},
          .run = [=](Tape& t, const VarList& in) {
            const auto out = key_prepare(t, in[0], in[1], in[2], in[3], head_size);
            return VarList{out.k, out.a, out.b};
          }};
}

OpCase group_norm_case(const Shape& shape, std::int64_t head_size) {
  const std::int64_t C = shape.back();
  OpCase c;
  c.name = "group_norm_bonus_gate" + shape.to_string();
  for (const char* name : {"y", "r", "k", "v", "gate"})
    c.inputs.push_back({.name = name, .shape = shape, .hi = 2});
  for (const char* name : {"r_k", "weight", "bias"}) {
    c.inputs.push_back({.name = name, .shape = {C}, .kind = Kind::Weight, .lo = 0.5});
  }
  c.run = [=](Tape& t, const VarList& in) {
    return VarList{
        group_norm_bonus_gate(t, in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], head_size, 1e-5)};
  };
  return c;
}

TEST(MemoryBoundOps, LargerShapesMatchReference) {
  RT_NEEDS_DEVICE();
  // Teams of 2 to 16 warps, whole and partial pieces; sequences of one to many blocks and of many pieces.
  for (const Shape& shape : {Shape{1, 3, 768}, Shape{1, 9, 1000}, Shape{1, 5, 1030}, Shape{1, 2, 2056},
                             Shape{1, 2, 5000}, Shape{1, 1, 8192}, Shape{2, 1100, 8}, Shape{40, 2, 8}}) {
    check_matches_reference(layer_norm_case(shape));
    check_matches_reference(add_norm_case(shape));
  }
  for (const std::size_t mixes : {1, 2, 6}) {
    for (const Shape& shape : {Shape{2, 260, 24}, Shape{1, 129, 520}, Shape{1, 130, 30}})
      check_matches_reference(token_shift_case(shape, mixes));
  }
  check_matches_reference(key_prepare_case({2, 130, 32}, 16));
  check_matches_reference(key_prepare_case({1, 3, 480}, 160));
  check_matches_reference(group_norm_case({2, 130, 32}, 16));
  check_matches_reference(group_norm_case({1, 3, 480}, 160));
}

// Teams of more than one warp exchange sums through shared memory.
TEST(MemoryBoundOps, BitsOfWideRowsDoNotMove) {
  RT_NEEDS_DEVICE();
  check_bits_do_not_move(layer_norm_case({1, 40, 768}));
  check_bits_do_not_move(layer_norm_case({1, 3, 4104}));
  check_bits_do_not_move(add_norm_case({1, 3, 4104}));
}

// Sums of parameters go on from one round of blocks to the next.
TEST(MemoryBoundOps, BitsOfManyBlocksDoNotMove) {
  RT_NEEDS_DEVICE();
  check_bits_do_not_move(layer_norm_case({40, 2, 8}));
}

TEST(MemoryBoundOps, WidthsThatDoNotFitAreRefused) {
  RT_NEEDS_DEVICE();
  Options o;
  o.impl = Impl::Cuda;
  o.storage = DType::F32;
  OpCase c = layer_norm_case({1, 1, 8200});
  EXPECT_THROW(run_case(c, draw_inputs(c, DType::F32), o), Error);
  c = key_prepare_case({1, 1, 272}, 272);
  EXPECT_THROW(run_case(c, draw_inputs(c, DType::F32), o), Error);
}

// Parameter gradients of B sequences at once and one at a time: the same bits.
TEST(MemoryBoundOps, BitsDoNotDependOnTheMicroBatch) {
  RT_NEEDS_DEVICE();
  constexpr std::int64_t kB = 5, kT = 70, kC = 32;
  const Shape whole{kB, kT, kC}, one{1, kT, kC};
  const auto make = [](const Shape& s) {
    return std::vector<OpCase>{layer_norm_case(s), add_norm_case(s), token_shift_case(s),
                               key_prepare_case(s, 16), group_norm_case(s, 16)};
  };
  for (std::size_t k = 0; k < 5; ++k) {
    const OpCase all = make(whole)[k], single = make(one)[k];
    const Values inputs = draw_inputs(all, DType::BF16);
    Options o;
    o.impl = Impl::Cuda;
    o.storage = DType::BF16;
    const Values douts = draw_douts(run_case(all, inputs, o));
    o.douts = &douts;
    const auto want = run_case(all, inputs, o);
    std::vector<std::vector<float>> sums(all.inputs.size());
    for (std::int64_t b = 0; b < kB; ++b) {
      const auto part = [&](const std::vector<double>& v) {
        const auto n = v.size() / kB;
        const auto at = v.begin() + static_cast<std::ptrdiff_t>(n) * b;
        return std::vector<double>(at, at + static_cast<std::ptrdiff_t>(n));
      };
      Values in, d;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        in.push_back(all.inputs[i].kind == Kind::Weight ? inputs[i] : part(inputs[i]));
      }
      for (const auto& v : douts) d.push_back(part(v));
      o.douts = &d;
      const auto got = run_case(single, in, o);
      for (std::size_t i = 0; i < sums.size(); ++i) {
        if (all.inputs[i].kind != Kind::Weight) continue;
        sums[i].resize(got.gradients[i].size());
        for (std::size_t c = 0; c < sums[i].size(); ++c)
          sums[i][c] += static_cast<float>(got.gradients[i][c]);
      }
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      for (std::size_t c = 0; c < sums[i].size(); ++c) {
        ASSERT_EQ(static_cast<double>(sums[i][c]), want.gradients[i][c])
            << all.name << " " << all.inputs[i].name;
      }
    }
  }
}

}  // namespace
}  // namespace rt::testing
