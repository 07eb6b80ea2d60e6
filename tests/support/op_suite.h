#pragma once
#include <functional>
#include <string>
#include <vector>

#include "rt/autograd/tape.h"

// One declaration of an op and the suite derives its tests: see op_suite.cpp for the list. Register with
//   RT_OP_SUITE(LayerNorm, layer_norm_cases());
namespace rt::testing {

struct InputSpec {
  enum class Kind { Activation, Weight, State, Mask, Ids };
  std::string name;
  Shape shape;
  Kind kind =
      Kind::Activation;    // Weight: a Parameter, gradient in accumulation dtype. State: accumulation dtype.
  double lo = -1, hi = 1;  // uniform range; Mask: probability hi of a 1; Ids: integers in [lo, hi)
  bool differentiable = true;
  bool time_major = false;  // dimension 1 is T: the input is cut when the suite splits a sequence
  int state_out = -1;       // State inputs: index of the output that continues it
};

struct OpCase {
  std::string name;
  std::vector<InputSpec> inputs;
  std::function<VarList(Tape&, const VarList&)> run;  // the op through its Var face; absent outputs allowed
  // Overrides, each with its reason in the declaration.
  double f32_output = 0, f32_gradient = 0, bf16_output = 0, bf16_gradient = 0, gradcheck = 1e-6;
  bool bf16 = true;
};

// Cpu, and Cuda where this program is linked with it and a device is there; RT_TEST_IMPL=cuda keeps to one.
const std::vector<Impl>& fast_impls();
std::vector<Impl> all_impls();  // Ref first

// Each throws/EXPECTs inside. Called by RT_OP_SUITE.
void check_reference_gradients(const OpCase& c);  // double reference against central differences
void check_matches_reference(const OpCase& c);    // f32 and bf16 storage, forward and every gradient
void check_dry_run_is_exact(
    const OpCase& c);  // the plan's bytes are what a live run uses, guard bands intact
void check_bits_do_not_move(const OpCase& c);  // over the schedules of schedule.h
void check_grad_modes(const OpCase& c);        // Skip, Overwrite and Accumulate honoured for every input
void check_sequence_split(const OpCase& c);  // whole = two parts with the state carried, and = T single steps
void check_causality(const OpCase& c);       // time t does not see t + 1

}  // namespace rt::testing

#define RT_OP_SUITE(Name, cases)                                               \
  TEST(Name##Grad, ReferenceMatchesDifferences) {                              \
    for (const auto& c : (cases)) ::rt::testing::check_reference_gradients(c); \
  }                                                                            \
  TEST(Name, MatchesReference) {                                               \
    for (const auto& c : (cases)) ::rt::testing::check_matches_reference(c);   \
  }                                                                            \
  TEST(Name, DryRunIsExact) {                                                  \
    for (const auto& c : (cases)) ::rt::testing::check_dry_run_is_exact(c);    \
  }                                                                            \
  TEST(Name, BitsDoNotMove) {                                                  \
    for (const auto& c : (cases)) ::rt::testing::check_bits_do_not_move(c);    \
  }                                                                            \
  TEST(Name, GradModes) {                                                      \
    for (const auto& c : (cases)) ::rt::testing::check_grad_modes(c);          \
  }                                                                            \
  TEST(Name, SequenceSplit) {                                                  \
    for (const auto& c : (cases)) ::rt::testing::check_sequence_split(c);      \
  }                                                                            \
  TEST(Name, Causality) {                                                      \
    for (const auto& c : (cases)) ::rt::testing::check_causality(c);           \
  }                                                                            \
  static_assert(true, "")
