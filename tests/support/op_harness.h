#pragma once
#include <map>
#include <string>
#include <vector>

#include "tests/support/numbers.h"
#include "tests/support/op_suite.h"

// The machinery under op_suite: draws an op's inputs, runs it forward and backward, and keeps every number as
// double.
namespace rt::testing {

using Kind = InputSpec::Kind;
using Values = std::vector<std::vector<double>>;  // per input or output

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

// Inputs are drawn once and rounded to `grid`, so that every implementation sees the same numbers.
Values draw_inputs(const OpCase& c, DType grid);
Values draw_douts(const Run& run);  // an upstream gradient per output
Run run_case(const OpCase& c, const Values& inputs, const Options& o);
Run run_in(Workspace& workspace, const OpCase& c, const Values& inputs, const Options& o);

}  // namespace rt::testing
