#include <gtest/gtest.h>

#include "tests/support/op_harness.h"

// What holds for ops over time: a sequence may be cut anywhere, and nothing sees the future.
namespace rt::testing {
namespace {

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

void check_causality_of(const OpCase& c, Impl impl, std::int64_t T) {
  Options o;
  o.impl = impl;
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

}  // namespace

void check_sequence_split(const OpCase& c) {
  const std::int64_t T = time_of(c);
  if (T < 2) return;
  for (const Impl impl : all_impls()) {
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
  for (const Impl impl : fast_impls()) check_causality_of(c, impl, T);
}

}  // namespace rt::testing
