#include "rt/ops/wkv7.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "rt/core/rng.h"
#include "tests/support/op_suite.h"

namespace {

using rt::testing::InputSpec;
using rt::testing::OpCase;
using Kind = InputSpec::Kind;

struct Form {
  std::int64_t B, T, H, N;
  bool state, reset;
  rt::Wkv7Decay decay;
};

OpCase make_case(const Form& f) {
  const rt::Shape shape{f.B, f.T, f.H * f.N};
  const bool raw = f.decay == rt::Wkv7Decay::Raw;
  // |a| and |b| are about 1 per head, so that the state neither dies nor explodes.
  const double unit = 1.7 / std::sqrt(static_cast<double>(f.N));
  OpCase c;
  c.name = rt::format("wkv7{} N={}{}{}{}", shape, f.N, f.state ? " s0" : "", f.reset ? " reset" : "",
                      raw ? " raw" : " clamped");
  c.inputs = {
      {.name = "r", .shape = shape, .time_major = true},
      {.name = "w", .shape = shape, .lo = raw ? -6.0 : -4.0, .hi = raw ? 1.5 : 4.0, .time_major = true},
      {.name = "k", .shape = shape, .time_major = true},
      {.name = "v", .shape = shape, .time_major = true},
      {.name = "a", .shape = shape, .lo = -unit, .hi = unit, .time_major = true},
      {.name = "b", .shape = shape, .lo = -unit, .hi = unit, .time_major = true}};
  if (f.state) {
    c.inputs.push_back({.name = "s0", .shape = {f.B, f.H, f.N, f.N}, .kind = Kind::State, .state_out = 1});
  }
  if (f.reset) {
    c.inputs.push_back({.name = "reset",
                        .shape = {f.B, f.T},
                        .kind = Kind::Mask,
                        .hi = 0.15,
                        .differentiable = false,
                        .time_major = true});
  }
  c.run = [f](rt::Tape& tape, const rt::VarList& in) {
    const rt::Var s0 = f.state ? in[6] : rt::Var{}, reset = f.reset ? in.back() : rt::Var{};
    const auto out = rt::wkv7(tape, in[0], in[1], in[2], in[3], in[4], in[5], s0, reset, f.N, f.decay);
    return rt::VarList{out.y, out.state};
  };
  return c;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Form& f : {Form{2, 7, 2, 16, true, true, rt::Wkv7Decay::Clamped},
                        Form{1, 1, 2, 32, true, false, rt::Wkv7Decay::Raw},
                        Form{1, 17, 1, 48, true, true, rt::Wkv7Decay::Raw},
                        Form{1, 34, 1, 64, true, true, rt::Wkv7Decay::Clamped}}) {
    all.push_back(make_case(f));
  }
  return all;
}

RT_OP_SUITE(Wkv7, cases());

// Shapes too slow for central differences: several chunks and pieces of one, several blocks and tiles of the
// CPU kernels with and without a remainder.
TEST(Wkv7, LargerShapesMatchReference) {
  for (const Form& f : {Form{1, 130, 1, 64, true, false, rt::Wkv7Decay::Raw},
                        Form{2, 63, 4, 32, false, true, rt::Wkv7Decay::Clamped},
                        Form{1, 64, 9, 16, false, false, rt::Wkv7Decay::Raw},
                        Form{1, 65, 1, 80, true, true, rt::Wkv7Decay::Raw},
                        Form{1, 40, 2, 128, true, true, rt::Wkv7Decay::Clamped},
                        Form{1, 35, 1, 256, true, false, rt::Wkv7Decay::Clamped}}) {
    const OpCase c = make_case(f);
    rt::testing::check_matches_reference(c);
    rt::testing::check_bits_do_not_move(c);
    rt::testing::check_dry_run_is_exact(c);
  }
}

// Where sigmoid(w) is close to 1 its derivative must not come from 1 - sigmoid(w).
TEST(Wkv7, MatchesReferenceAtTheStrongestDecays) {
  OpCase c = make_case({1, 20, 1, 64, true, false, rt::Wkv7Decay::Clamped});
  c.inputs[1].lo = 10;
  c.inputs[1].hi = 14;
  rt::testing::check_matches_reference(c);
}

// The op on f32 tensors with gradients, outside the suite.
struct Results {
  rt::Tensor y, state;
  std::vector<rt::Tensor> grads;  // of r, w, k, v, a, b
};

rt::Tensor uniform(const rt::Shape& shape, double lo, double hi, std::uint64_t stream) {
  rt::Tensor t(shape, rt::DType::F32);
  const rt::Rng rng{41, stream};
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    rt::set_element(t.view, i, lo + (hi - lo) * rng.uniform(static_cast<std::uint64_t>(i)));
  }
  return t;
}

rt::Tensor clone(const rt::TensorView& from) {
  rt::Tensor t(from.shape, from.dtype);
  std::memcpy(t.view.data, from.data, from.nbytes());
  return t;
}

Results run_cpu(std::vector<rt::Tensor>& in, const rt::Tensor* reset, const rt::Tensor& dy, std::int64_t N,
                rt::Wkv7Decay decay) {
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Cpu, std::size_t{64} << 20, std::size_t{16} << 20,
                   std::size_t{1} << 20);
  rt::Tape tape(ws.ctx(), rt::Record::Yes);
  Results run;
  rt::VarList v;
  for (const rt::Tensor& x : in) {
    run.grads.emplace_back(x.view.shape, x.view.dtype);
    v.push_back(tape.input(x.view, {run.grads.back().view, rt::GradMode::Overwrite}));
  }
  const rt::Var mask = reset ? tape.input(reset->view) : rt::Var{};
  const auto out = rt::wkv7(tape, v[0], v[1], v[2], v[3], v[4], v[5], {}, mask, N, decay);
  run.y = clone(tape.value(out.y));
  run.state = clone(tape.value(out.state));
  tape.seed(out.y, dy.view);
  tape.backward();
  return run;
}

TEST(Wkv7, ResetEqualsSeparateDocuments) {
  constexpr std::int64_t T = 75, N = 64, C = 2 * N;
  const std::vector<std::int64_t> starts{0, 5, 32, 33, 64, T};  // on, next to and away from chunk bounds
  std::vector<rt::Tensor> whole;
  for (std::uint64_t i = 0; i < 6; ++i) whole.push_back(uniform({1, T, C}, i == 1 ? -4 : -0.3, 0.3, i));
  const rt::Tensor dy = uniform({1, T, C}, -1, 1, 9);
  rt::Tensor reset({1, T}, rt::DType::U8);
  std::memset(reset.view.data, 0, T);
  for (const std::int64_t s : starts) {
    if (s < T) reset.view.as<std::uint8_t>()[s] = 1;
  }
  const Results packed = run_cpu(whole, &reset, dy, N, rt::Wkv7Decay::Raw);
  for (std::size_t d = 0; d + 1 < starts.size(); ++d) {
    std::vector<rt::Tensor> part;
    for (const rt::Tensor& x : whole) part.push_back(clone(x.view.slice(1, starts[d], starts[d + 1])));
    const rt::Tensor part_dy = clone(dy.view.slice(1, starts[d], starts[d + 1]));
    const Results alone = run_cpu(part, nullptr, part_dy, N, rt::Wkv7Decay::Raw);
    const auto expect_equal = [&](const rt::TensorView& all, const rt::TensorView& one, const char* what) {
      const rt::Tensor cut = clone(all.slice(1, starts[d], starts[d + 1]));
      for (std::int64_t i = 0; i < one.numel(); ++i) {
        ASSERT_FLOAT_EQ(cut.view.as<float>()[i], one.as<float>()[i])
            << what << " document " << d << " at " << i;
      }
    };
    expect_equal(packed.y.view, alone.y.view, "y");
    for (std::size_t i = 0; i < 6; ++i) expect_equal(packed.grads[i].view, alone.grads[i].view, "gradient");
  }
}

// Decays from 1 down to 0 in f32, over a length at which any growth or division would show.
TEST(Wkv7, LongSequencesAndExtremeDecaysStayFinite) {
  constexpr std::int64_t T = 2000, N = 64;
  for (const auto decay : {rt::Wkv7Decay::Raw, rt::Wkv7Decay::Clamped}) {
    std::vector<rt::Tensor> in;
    for (std::uint64_t i = 0; i < 6; ++i)
      in.push_back(uniform({1, T, N}, i == 1 ? -30 : -1, i == 1 ? 30 : 1, i));
    for (std::int64_t t = 0; t < T; ++t) {  // b = -a * rate, |a| = 1: what the model feeds
      float *a = in[4].view.as<float>() + t * N, *b = in[5].view.as<float>() + t * N, norm = 0;
      for (std::int64_t j = 0; j < N; ++j) norm += a[j] * a[j];
      for (std::int64_t j = 0; j < N; ++j) a[j] /= std::sqrt(norm);
      for (std::int64_t j = 0; j < N; ++j) b[j] = -a[j] * (0.5f + 0.5f * b[j]);
    }
    in[1].view.as<float>()[7] = 1e4f;
    in[1].view.as<float>()[8] = -1e4f;
    const Results run = run_cpu(in, nullptr, uniform({1, T, N}, -1, 1, 9), N, decay);
    const auto expect_finite = [](const rt::TensorView& x, const char* what) {
      for (std::int64_t i = 0; i < x.numel(); ++i)
        ASSERT_TRUE(std::isfinite(x.as<float>()[i])) << what << " " << i;
    };
    expect_finite(run.y.view, "y");
    expect_finite(run.state.view, "state");
    for (const rt::Tensor& g : run.grads) expect_finite(g.view, "gradient");
  }
}

TEST(Wkv7, StepUpdatesTheStateInPlace) {
  constexpr std::int64_t N = 32;
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Cpu, std::size_t{1} << 20, std::size_t{1} << 20, 1024);
  rt::Tape tape(ws.ctx(), rt::Record::No);
  std::vector<rt::Tensor> in;
  rt::VarList v;
  for (std::uint64_t i = 0; i < 6; ++i) in.push_back(uniform({2, 1, 3 * N}, -1, 1, i));
  for (const rt::Tensor& x : in) v.push_back(tape.input(x.view));
  const rt::Tensor state = uniform({2, 3, N, N}, -1, 1, 7), before = clone(state.view);
  const auto out = rt::wkv7(tape, v[0], v[1], v[2], v[3], v[4], v[5], tape.input(state.view), {}, N,
                            rt::Wkv7Decay::Clamped);
  EXPECT_EQ(tape.value(out.state).data, state.view.data);
  EXPECT_NE(std::memcmp(state.view.data, before.view.data, before.view.nbytes()), 0);
  EXPECT_LE(ws.saved().used(), 2u * 3 * N * sizeof(float) + 256);  // y and nothing else
}

TEST(Wkv7, RefusesWrongShapes) {
  rt::Workspace ws(rt::Device::cpu(), rt::Impl::Cpu, 1 << 20, 1 << 20, 1024);
  rt::Tape tape(ws.ctx(), rt::Record::No);
  const rt::Tensor x({1, 4, 64}, rt::DType::F32), longer({1, 5, 64}, rt::DType::F32);
  const rt::Tensor s({1, 2, 64, 64}, rt::DType::F32), mask({1, 4}, rt::DType::F32);
  const rt::Var v = tape.input(x.view), w = tape.input(longer.view), none{};
  const auto decay = rt::Wkv7Decay::Raw;
  EXPECT_THROW(rt::wkv7(tape, v, w, v, v, v, v, none, none, 64, decay), rt::Error);
  EXPECT_THROW(rt::wkv7(tape, v, v, v, v, v, v, none, none, 24, decay), rt::Error);
  EXPECT_THROW(rt::wkv7(tape, v, v, v, v, v, v, tape.input(s.view), none, 64, decay), rt::Error);
  EXPECT_THROW(rt::wkv7(tape, v, v, v, v, v, v, none, tape.input(mask.view), 64, decay), rt::Error);
}

}  // namespace
