#include "rt/ops/linear_cross_entropy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "rt/core/host.h"
#include "tests/support/batch_grouping.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;

constexpr double kScale = 0.25, kWrap = 0.125;

// The op wants its loss seeded with ones whatever the suite draws.
rt::Var with_unit_seed(rt::Tape& tape, rt::Var loss) {
  const rt::TensorView value = tape.value(loss);
  const rt::Var out = tape.output(value.shape, value.dtype, "unit_seed", {loss});
  if (!tape.ctx().dry_run) rt::copy(tape.value(out), value, tape.ctx().stream);
  if (tape.needs_grad(out)) {
    tape.record("unit_seed", [=](rt::Tape& t) {
      const rt::GradSlot slot = t.grad_slot(loss);
      if (t.ctx().dry_run) return;
      const rt::HostTensor host(slot.view, rt::HostTensor::Contents::Undefined);
      for (std::int64_t i = 0; i < slot.view.numel(); ++i) rt::set_element(host.view(), i, 1);
      host.write_back();
    });
  }
  return out;
}

// Targets drawn from [lo, V); what is below -1 becomes -1, so that lo says how many are ignored.
OpCase head_case(rt::Shape x, std::int64_t V, double lo = -1) {
  return {.name = "cross_entropy" + x.to_string() + " V " + std::to_string(V),
          .inputs = {{.name = "x", .shape = x},
                     {.name = "weight", .shape = {V, x[2]}, .kind = InputSpec::Kind::Weight},
                     {.name = "targets",
                      .shape = {x[0], x[1]},
                      .kind = InputSpec::Kind::Ids,
                      .lo = lo,
                      .hi = static_cast<double>(V),
                      .differentiable = false}},
          .run = [](rt::Tape& tape, const rt::VarList& in) {
            const rt::HostTensor targets(tape.value(in[2]));
            for (std::int64_t i = 0; i < targets.view().numel(); ++i) {
              std::int32_t& target = targets.view().as<std::int32_t>()[i];
              target = std::max(target, -1);
            }
            targets.write_back();
            const rt::Var loss = rt::linear_cross_entropy(tape, in[0], in[1], in[2], kScale, kWrap);
            return rt::VarList{with_unit_seed(tape, loss)};
          }};
}

std::vector<OpCase> cases() {
  // One tile and several, V and C off the vector width, one row, more rows than a block, mostly ignored.
  return {head_case({3, 7, 19}, 37),  head_case({2, 5, 33}, 801),      head_case({3, 1, 8}, 5),
          head_case({1, 300, 8}, 20), head_case({2, 31, 16}, 12, -40), head_case({2, 4, 8}, 2700)};
}

// The losses row by row, which take no gradient, and their sum beside it.
OpCase rows_case(rt::Shape x, std::int64_t V, double lo = -1) {
  OpCase c = head_case(x, V, lo);
  c.name = "rows of " + c.name;
  for (InputSpec& input : c.inputs) input.differentiable = false;
  c.run = [run = c.run](rt::Tape& tape, const rt::VarList& in) {
    const rt::Var sums = run(tape, in)[0];  // makes the targets what they should be
    return rt::VarList{rt::token_losses(tape, in[0], in[1], in[2]), sums};
  };
  return c;
}

std::vector<OpCase> row_cases() {
  return {rows_case({3, 7, 19}, 37), rows_case({2, 300, 8}, 801, -40), rows_case({3, 1, 8}, 5)};
}

TEST(LinearCrossEntropyRows, MatchesReference) {
  for (const auto& c : row_cases()) rt::testing::check_matches_reference(c);
}
TEST(LinearCrossEntropyRows, DryRunIsExact) {
  for (const auto& c : row_cases()) rt::testing::check_dry_run_is_exact(c);
}
TEST(LinearCrossEntropyRows, BitsDoNotMove) {
  for (const auto& c : row_cases()) rt::testing::check_bits_do_not_move(c);
}

TEST(LinearCrossEntropy, MatchesReference) {
  for (const auto& c : cases()) rt::testing::check_matches_reference(c);
}
TEST(LinearCrossEntropy, DryRunIsExact) {
  for (const auto& c : cases()) rt::testing::check_dry_run_is_exact(c);
}
TEST(LinearCrossEntropy, BitsDoNotMove) {
  for (const auto& c : cases()) rt::testing::check_bits_do_not_move(c);
}
TEST(LinearCrossEntropy, GradModes) {
  for (const auto& c : cases()) rt::testing::check_grad_modes(c);
}
TEST(LinearCrossEntropy, BitsDoNotDependOnTheMicroBatch) {
  rt::testing::check_batch_grouping(head_case({4, 50, 33}, 70), 4);
  rt::testing::check_batch_grouping(head_case({4, 300, 16}, 800, -400), 4);
  // Large enough that not all blocks are in flight at once.
  rt::testing::check_batch_grouping(head_case({4, 300, 8}, 12000), 4);
}

// A head in double, with everything around it.
struct Head {
  std::int64_t B, T, C, V;
  rt::Tensor x, w, targets, dx, dw, loss;
  Head(std::int64_t B_, std::int64_t T_, std::int64_t C_, std::int64_t V_, rt::DType dtype = rt::DType::F64)
      : B(B_),
        T(T_),
        C(C_),
        V(V_),
        x({B, T, C}, dtype),
        w({V, C}, dtype),
        targets({B, T}, rt::DType::I32),
        dx({B, T, C}, dtype),
        dw({V, C}, dtype),
        loss({B}, dtype) {
    rt::testing::fill_uniform(x.view, -1, 1, 1);
    rt::testing::fill_uniform(w.view, -1, 1, 2);
    rt::testing::fill_uniform(targets.view, -2, static_cast<double>(V), 3);
    for (std::int64_t i = 0; i < B * T; ++i) target(i) = std::max(target(i), -1);
  }
  std::int32_t& target(std::int64_t i) { return targets.view.as<std::int32_t>()[i]; }
  rt::Impl impl() const { return x.view.dtype == rt::DType::F64 ? rt::Impl::Ref : rt::Impl::Cpu; }

  // The sum of the losses; gradients overwritten when recording.
  double run(rt::Record record, double seed = 1) {
    rt::Workspace ws(rt::Device::cpu(), impl(), 1 << 20, 8 << 20, 1 << 20);
    rt::Tape tape(ws.ctx(), record);
    const rt::Var out = rt::linear_cross_entropy(tape, tape.input(x.view, {dx.view, rt::GradMode::Overwrite}),
                                                 tape.input(w.view, {dw.view, rt::GradMode::Overwrite}),
                                                 tape.input(targets.view), kScale, kWrap);
    double total = 0;
    for (std::int64_t b = 0; b < B; ++b) total += rt::element(tape.value(out), b);
    if (record == rt::Record::Yes) {
      const rt::Tensor ones({B}, rt::accum_dtype(ws.ctx()));
      for (std::int64_t b = 0; b < B; ++b) rt::set_element(ones.view, b, seed);
      tape.seed(out, ones.view);
      tape.backward();
    }
    return total;
  }

  // What the gradients are gradients of: rwkv.md 3.5 has L2Wrap equal a penalty of l2wrap / 2 * max^2 per
  // row.
  double objective() {
    double penalty = 0;
    for (std::int64_t i = 0; i < B * T; ++i) {
      if (target(i) < 0) continue;
      double max = -INFINITY;
      for (std::int64_t v = 0; v < V; ++v) {
        double dot = 0;
        for (std::int64_t c = 0; c < C; ++c) {
          dot += rt::element(x.view, i * C + c) * rt::element(w.view, v * C + c);
        }
        max = std::max(max, dot);
      }
      penalty += max * max / 2;
    }
    return kScale * (run(rt::Record::No) + kWrap * penalty);
  }

  double numeric(const rt::TensorView& at, std::int64_t i) {
    const double keep = rt::element(at, i), h = 1e-5;
    rt::set_element(at, i, keep + h);
    const double up = objective();
    rt::set_element(at, i, keep - h);
    const double down = objective();
    rt::set_element(at, i, keep);
    return (up - down) / (2 * h);
  }
};

TEST(LinearCrossEntropyGrad, ReferenceMatchesDifferences) {
  Head head(2, 5, 6, 9);
  head.run(rt::Record::Yes);
  for (std::int64_t i = 0; i < head.x.view.numel(); ++i) {
    EXPECT_NEAR(rt::element(head.dx.view, i), head.numeric(head.x.view, i), 1e-8) << "dx " << i;
  }
  for (std::int64_t i = 0; i < head.w.view.numel(); ++i) {
    EXPECT_NEAR(rt::element(head.dw.view, i), head.numeric(head.w.view, i), 1e-8) << "dw " << i;
  }
}

TEST(LinearCrossEntropy, LossIsTheSameWithoutRecording) {
  Head head(3, 40, 16, 50, rt::DType::F32);
  EXPECT_EQ(head.run(rt::Record::Yes), head.run(rt::Record::No));
}

TEST(LinearCrossEntropy, EqualLogitsGiveLogVAndWrapTheFirst) {
  for (const rt::DType dtype : {rt::DType::F64, rt::DType::F32}) {
    Head head(1, 1, 1, 500, dtype);
    rt::set_element(head.x.view, 0, 2);
    for (std::int64_t v = 0; v < head.V; ++v) rt::set_element(head.w.view, v, 3);
    head.target(0) = 499;
    EXPECT_NEAR(head.run(rt::Record::Yes), std::log(500.0), 1e-6);
    for (std::int64_t v = 0; v < head.V; ++v) {
      const double want = kScale * (1.0 / 500 - (v == 499 ? 1 : 0) + (v == 0 ? kWrap * 6 : 0));
      EXPECT_NEAR(rt::element(head.dw.view, v), 2 * want, 1e-6) << v;
    }
  }
}

TEST(LinearCrossEntropy, LargeLogitsStayFiniteAndNaNIsSeen) {
  Head head(1, 2, 1, 40, rt::DType::F32);
  head.target(0) = 0;
  head.target(1) = 39;
  for (std::int64_t v = 0; v < head.V; ++v) rt::set_element(head.w.view, v, v == 39 ? 1e4 : -1e4);
  rt::set_element(head.x.view, 0, 1);
  rt::set_element(head.x.view, 1, 1);
  EXPECT_NEAR(head.run(rt::Record::Yes), 2e4, 1e-2);
  EXPECT_TRUE(std::isfinite(rt::element(head.dx.view, 0)));
  rt::set_element(head.w.view, 17, NAN);
  EXPECT_TRUE(std::isnan(head.run(rt::Record::Yes)));
  EXPECT_TRUE(std::isnan(rt::element(head.dx.view, 1)));
  rt::set_element(head.w.view, 17, INFINITY);
  EXPECT_FALSE(std::isfinite(head.run(rt::Record::Yes)));
}

TEST(LinearCrossEntropy, RowsAddUpToTheLoss) {
  for (const rt::DType dtype : {rt::DType::F64, rt::DType::F32}) {
    Head head(2, 9, 5, 12, dtype);
    head.target(3) = -1;
    rt::Workspace ws(rt::Device::cpu(), head.impl(), 1 << 20, 8 << 20, 0);
    rt::Tape tape(ws.ctx(), rt::Record::No);
    const rt::TensorView rows = tape.value(rt::token_losses(
        tape, tape.input(head.x.view), tape.input(head.w.view), tape.input(head.targets.view)));
    double total = 0;
    for (std::int64_t i = 0; i < 18; ++i) total += rt::element(rows, i);
    EXPECT_EQ(rt::element(rows, 3), 0);
    EXPECT_GT(rt::element(rows, 4), 0);
    EXPECT_NEAR(total, head.run(rt::Record::No), dtype == rt::DType::F64 ? 1e-12 : 1e-4);
  }
}

TEST(LinearCrossEntropy, IgnoredRowsLeaveNoTrace) {
  for (const rt::DType dtype : {rt::DType::F64, rt::DType::F32}) {
    Head head(2, 6, 4, 30, dtype);
    for (std::int64_t i = 0; i < 12; ++i) head.target(i) = -1;
    rt::set_element(head.dw.view, 7, 5);
    EXPECT_EQ(head.run(rt::Record::Yes), 0);
    EXPECT_EQ(rt::element(head.dw.view, 7), 0);
    for (std::int64_t i = 0; i < 48; ++i) EXPECT_EQ(rt::element(head.dx.view, i), 0);
    head.target(8) = 3;
    const double loss = head.run(rt::Record::Yes);
    rt::set_element(head.x.view, 0, 100);  // row 0 is ignored
    EXPECT_EQ(head.run(rt::Record::Yes), loss);
    EXPECT_NE(rt::element(head.dx.view, 32), 0);
    EXPECT_EQ(rt::element(head.dx.view, 31), 0);
  }
}

TEST(LinearCrossEntropy, RefusesBadTargetsAndSeeds) {
  for (const rt::DType dtype : {rt::DType::F64, rt::DType::F32}) {
    Head head(2, 3, 4, 5, dtype);
    EXPECT_THROW(head.run(rt::Record::Yes, 0.5), rt::Error);
    for (const std::int32_t bad : {-2, 5}) {
      head.target(4) = bad;
      try {
        head.run(rt::Record::No);
        FAIL() << "accepted " << bad;
      } catch (const rt::Error& e) {
        EXPECT_EQ(e.code(), rt::Exit::Data);
        EXPECT_EQ(e.what(),
                  rt::format("cross entropy: target {} at sequence 1, position 1 is not in [-1, 5)", bad));
      }
    }
  }
}

}  // namespace
