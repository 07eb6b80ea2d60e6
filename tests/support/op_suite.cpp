#include "tests/support/op_suite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "rt/core/error.h"
#include "tests/support/op_harness.h"
#include "tests/support/schedule.h"
#include "tests/support/tolerance.h"

namespace rt::testing {
namespace {

double loss(const Run& run, const Values& douts) {
  double total = 0;
  for (std::size_t k = 0; k < run.outputs.size(); ++k) {
    for (std::size_t i = 0; i < run.outputs[k].size(); ++i) total += run.outputs[k][i] * douts[k][i];
  }
  return total;
}

void expect_bits(const Run& a, const Run& b, const std::string& what) {
  for (std::size_t k = 0; k < a.outputs.size(); ++k)
    EXPECT_EQ(a.outputs[k], b.outputs[k]) << what << " output " << k;
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_EQ(a.gradients[i], b.gradients[i]) << what << " gradient " << i;
  }
}

void expect_close(const OpCase& c, const Run& got, const Run& want, double out_tol, double grad_tol,
                  const std::string& what) {
  for (std::size_t k = 0; k < want.outputs.size(); ++k) {
    EXPECT_LE(relative_rms(got.outputs[k], want.outputs[k]), out_tol)
        << c.name << " " << what << " output " << k;
  }
  for (std::size_t i = 0; i < want.gradients.size(); ++i) {
    EXPECT_LE(relative_rms(got.gradients[i], want.gradients[i]), grad_tol)
        << c.name << " " << what << " gradient of " << c.inputs[i].name;
  }
}

}  // namespace

void check_reference_gradients(const OpCase& c) {
  Values inputs = draw_inputs(c, DType::F64);
  Options o;
  const Values douts = draw_douts(run_case(c, inputs, o));
  o.douts = &douts;
  const Run base = run_case(c, inputs, o);
  Options forward_only;
  forward_only.record = true;  // T == 1 without recording would pick the step form; that has its own test
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.inputs[i].differentiable) continue;
    const std::size_t n = inputs[i].size(), probes = std::min<std::size_t>(n, 24);
    double diff = 0, norm = 0;
    for (std::size_t p = 0; p < probes; ++p) {
      const std::size_t k = n <= probes ? p : Rng{31, i}.below(p, n);
      const double h = 1e-5, keep = inputs[i][k];
      inputs[i][k] = keep + h;
      const double up = loss(run_case(c, inputs, forward_only), douts);
      inputs[i][k] = keep - h;
      const double down = loss(run_case(c, inputs, forward_only), douts);
      inputs[i][k] = keep;
      const double numeric = (up - down) / (2 * h);
      diff += (numeric - base.gradients[i][k]) * (numeric - base.gradients[i][k]);
      norm += numeric * numeric;
    }
    EXPECT_LE(std::sqrt(diff), c.gradcheck * std::max(1.0, std::sqrt(norm)))
        << c.name << " d/d" << c.inputs[i].name;
  }
}

const std::vector<Impl>& fast_impls() {
  static const std::vector<Impl> impls = [] {
    std::vector<Impl> all{Impl::Cpu};
    if (cuda_device_count() > 0) all.push_back(Impl::Cuda);
    const char* only = std::getenv("RT_TEST_IMPL");
    if (only) std::erase_if(all, [&](Impl impl) { return name(impl) != only; });
    if (all.empty()) throw std::runtime_error("RT_TEST_IMPL: this machine has no such implementation");
    return all;
  }();
  return impls;
}

std::vector<Impl> all_impls() {
  std::vector<Impl> all = fast_impls();
  all.insert(all.begin(), Impl::Ref);
  return all;
}

void check_matches_reference(const OpCase& c) {
  for (const DType storage : {DType::F32, DType::BF16}) {
    if (storage == DType::BF16 && !c.bf16) continue;
    const Tolerance tol = tolerance(storage);
    const bool f32 = storage == DType::F32;
    const double out_tol = std::max(f32 ? c.f32_output : c.bf16_output, tol.output);
    const double grad_tol = std::max(f32 ? c.f32_gradient : c.bf16_gradient, tol.gradient);
    const Values inputs = draw_inputs(c, storage);
    const Run want = run_case(c, inputs, {});
    for (const Impl impl : fast_impls()) {
      Options o;
      o.impl = impl;
      o.storage = storage;
      o.guard = true;
      expect_close(c, run_case(c, inputs, o), want, out_tol, grad_tol,
                   format("{} {}", name(impl), name(storage)));
    }
  }
}

void check_dry_run_is_exact(const OpCase& c) {
  const Values inputs = draw_inputs(c, DType::F32);
  for (const Impl impl : fast_impls()) {
    for (const DType storage : {DType::F32, DType::BF16}) {
      if (storage == DType::BF16 && !c.bf16) continue;
      Options o;
      o.impl = impl;
      o.storage = storage;
      const Device device = device_of(impl);
      Workspace plan(device, impl);
      run_in(plan, c, inputs, o);
      Workspace live(device, impl, plan.saved().high_water(), plan.scratch().high_water(),
                     plan.grads().high_water());
      run_in(live, c, inputs, o);  // throws when the plan was too small
      EXPECT_EQ(live.saved().high_water(), plan.saved().high_water()) << c.name;
      EXPECT_EQ(live.scratch().high_water(), plan.scratch().high_water()) << c.name;
      EXPECT_EQ(live.grads().high_water(), plan.grads().high_water()) << c.name;
    }
  }
}

void check_bits_do_not_move(const OpCase& c) {
  const Values inputs = draw_inputs(c, DType::F32);
  for (const Impl impl : fast_impls()) {
    for (const DType storage : {DType::F32, DType::BF16}) {
      if (storage == DType::BF16 && (!c.bf16 || impl == Impl::Cpu)) continue;  // one code on the CPU
      Options o;
      o.impl = impl;
      o.storage = storage;
      const Run first = run_case(c, inputs, o);
      for (int schedule = 0; schedule < schedules(); ++schedule) {
        const Schedule change(schedule);
        expect_bits(first, run_case(c, inputs, o),
                    format("{} {} {} schedule {}", c.name, name(impl), name(storage), schedule));
      }
    }
  }
}

void check_grad_modes(const OpCase& c) {
  const Values inputs = draw_inputs(c, DType::F32);
  for (const Impl impl : all_impls()) {
    Options o;
    o.impl = impl;
    o.storage = impl == Impl::Ref ? DType::F64 : DType::F32;
    const Run full = run_case(c, inputs, o);
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      if (!c.inputs[i].differentiable) continue;
      Options other = o;
      other.modes[i] = GradMode::Accumulate;  // on top of ones
      const Run added = run_case(c, inputs, other);
      std::vector<double> want = full.gradients[i];
      for (double& v : want) v += 1;
      EXPECT_LE(relative_rms(added.gradients[i], want), 1e-6) << c.name << " accumulate " << c.inputs[i].name;
      other.modes[i] = GradMode::Skip;
      const Run skipped = run_case(c, inputs, other);
      EXPECT_EQ(skipped.gradients[i], std::vector<double>(want.size(), 1.0))
          << c.name << " skip " << c.inputs[i].name;
      for (std::size_t j = 0; j < c.inputs.size(); ++j) {
        if (j == i || !c.inputs[j].differentiable) continue;
        EXPECT_EQ(skipped.gradients[j], full.gradients[j])
            << c.name << " skipping " << c.inputs[i].name << " moved " << c.inputs[j].name;
      }
    }
  }
}

}  // namespace rt::testing
