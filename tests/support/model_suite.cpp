#include "tests/support/model_suite.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "rt/core/parallel.h"
#include "rt/ops/adamw.h"
#include "tests/support/model_harness.h"
#include "tests/support/tolerance.h"

namespace rt::testing {
namespace {

std::vector<double> all_grads(Model& m) { return numbers(m.store.flat_grad()); }

// By parameter, so that a failure names the op to look at.
void expect_same_grads(Model& m, const std::vector<double>& flat) {
  const auto base = reinterpret_cast<std::uintptr_t>(m.store.flat_grad().data);
  for (const Parameter* p : m.store.parameters()) {
    const std::size_t at = (reinterpret_cast<std::uintptr_t>(p->grad.data) - base) / size_of(p->grad.dtype);
    const auto now = numbers(p->grad);
    EXPECT_TRUE(std::equal(now.begin(), now.end(), flat.begin() + static_cast<std::ptrdiff_t>(at)))
        << p->name << " differs by "
        << relative_rms(now, {flat.begin() + static_cast<std::ptrdiff_t>(at),
                              flat.begin() + static_cast<std::ptrdiff_t>(at + now.size())});
  }
}

}  // namespace

void check_model_gradients(const ModelSpec& spec) {
  Model m(spec, DType::F64);
  const Batch batch(spec, 2, 7);
  step(m, batch, Impl::Ref, 0, 2, Recompute::None, true, 0.0);  // L2Wrap is not in the loss
  for (Parameter* p : m.store.parameters()) {
    double diff = 0, norm = 0;
    for (std::uint64_t probe = 0; probe < 3; ++probe) {
      const auto i =
          static_cast<std::int64_t>(Rng{4, 0}.below(probe, static_cast<std::uint64_t>(p->master.numel())));
      const double keep = element(p->master, i), h = 1e-5;
      set_element(p->master, i, keep + h);
      const double up = mean_loss(m, batch);
      set_element(p->master, i, keep - h);
      const double down = mean_loss(m, batch);
      set_element(p->master, i, keep);
      const double numeric = (up - down) / (2 * h);
      diff += std::pow(numeric - element(p->grad, i), 2);
      norm += numeric * numeric;
    }
    EXPECT_LE(std::sqrt(diff), 1e-8 + 1e-6 * std::sqrt(norm)) << p->name;
  }
}

void check_cpu_follows_reference(const ModelSpec& spec) {
  const Batch batch(spec, 2, 37);
  Model want(spec, DType::F64);
  const StepOut want_out = step(want, batch, Impl::Ref, 0, 2);
  for (const DType storage : {DType::F32, DType::BF16}) {
    Model got(spec, storage);
    const StepOut got_out = step(got, batch, Impl::Cpu, 0, 2);
    // A deep model amplifies an op's rounding: the tolerance of gradients times ten, the loss as an output.
    const Tolerance tol = tolerance(storage);
    for (std::size_t b = 0; b < 2; ++b) EXPECT_NEAR(got_out.loss[b] / want_out.loss[b], 1, tol.output);
    // bf16 is judged over all gradients together: a single small one can be mostly rounding.
    if (storage == DType::BF16) {
      std::vector<double> all, reference;
      for (std::size_t i = 0; i < got.store.parameters().size(); ++i) {
        for (const double g : numbers(got.store.parameters()[i]->grad)) all.push_back(g);
        for (const double g : numbers(want.store.parameters()[i]->grad)) reference.push_back(g);
      }
      EXPECT_LE(relative_rms(all, reference), 5 * tol.gradient);
      continue;
    }
    for (std::size_t i = 0; i < got.store.parameters().size(); ++i) {
      Parameter* p = got.store.parameters()[i];
      EXPECT_LE(relative_rms(numbers(p->grad), numbers(want.store.parameters()[i]->grad)), 10 * tol.gradient)
          << p->name;
    }
  }
}

void check_model_causality(const ModelSpec& spec) {
  Model m(spec, DType::F32);
  Batch batch(spec, 1, 21);
  const Read base = read(m, batch, Impl::Cpu, 0, 21, {});
  auto& token = batch.tokens.view.as<std::int32_t>()[10];
  token = (token + 1) % static_cast<std::int32_t>(spec.vocab);
  const Read moved = read(m, batch, Impl::Cpu, 0, 21, {});
  const auto before = static_cast<std::ptrdiff_t>(10 * spec.vocab);
  EXPECT_TRUE(std::equal(base.logits.begin(), base.logits.begin() + before, moved.logits.begin()));
  EXPECT_FALSE(std::equal(base.logits.begin() + before, base.logits.end(), moved.logits.begin() + before));
}

void check_steps_equal_parallel(const ModelSpec& spec) {
  for (const Impl impl : {Impl::Ref, Impl::Cpu}) {
    Model m(spec, impl == Impl::Ref ? DType::F64 : DType::F32);
    const Batch batch(spec, 2, 19);
    const double tol = impl == Impl::Ref ? 1e-11 : 2e-5;
    const Read whole = read(m, batch, impl, 0, 19, {});
    const Read tail = read(m, batch, impl, 8, 19, read(m, batch, impl, 0, 8, {}).state);
    Read stepped;
    for (std::int64_t t = 0; t < 19; ++t) stepped = read(m, batch, impl, t, t + 1, stepped.state);
    for (std::size_t i = 0; i < whole.state.size(); ++i) {
      EXPECT_LE(relative_rms(tail.state[i], whole.state[i]), tol) << "state " << i;
      EXPECT_LE(relative_rms(stepped.state[i], whole.state[i]), tol) << "state " << i;
    }
    std::vector<double> last;  // logits at the last token of each row
    for (std::size_t b = 0; b < 2; ++b) {
      const auto V = static_cast<std::size_t>(spec.vocab);
      const auto at = whole.logits.begin() + static_cast<std::ptrdiff_t>((b * 19 + 18) * V);
      last.insert(last.end(), at, at + static_cast<std::ptrdiff_t>(V));
    }
    EXPECT_LE(relative_rms(stepped.logits, last), tol);
  }
}

void check_recompute_bits(const ModelSpec& spec) {
  Model m(spec, DType::F32);
  const Batch batch(spec, 2, 23);
  const StepOut plain = step(m, batch, Impl::Cpu, 0, 2);
  const auto grads = all_grads(m);
  const StepOut recomputed = step(m, batch, Impl::Cpu, 0, 2, Recompute::Block);
  EXPECT_EQ(plain.loss, recomputed.loss);
  expect_same_grads(m, grads);
  EXPECT_LT(recomputed.saved, plain.saved);
}

void check_micro_batch_bits(const ModelSpec& spec) {
  Model m(spec, DType::F32);
  const Batch batch(spec, 4, 23);
  const StepOut once = step(m, batch, Impl::Cpu, 0, 4);
  const auto grads = all_grads(m);
  std::vector<double> losses;
  for (std::int64_t b = 0; b < 4; ++b) {
    const StepOut part = step(m, batch, Impl::Cpu, b, b + 1, Recompute::None, b == 0);
    losses.push_back(part.loss[0]);
  }
  EXPECT_EQ(once.loss, losses);
  expect_same_grads(m, grads);
}

void check_thread_bits(const ModelSpec& spec) {
  const int threads = num_threads();
  Model m(spec, DType::F32);
  const Batch batch(spec, 2, 70);
  set_num_threads(1);
  const StepOut one = step(m, batch, Impl::Cpu, 0, 2);
  const auto grads = all_grads(m);
  for (const int n : {2, 3}) {
    set_num_threads(n);
    const StepOut many = step(m, batch, Impl::Cpu, 0, 2);
    EXPECT_EQ(one.loss, many.loss);
    expect_same_grads(m, grads);
  }
  set_num_threads(threads);
}

void check_node_budget(const ModelSpec& spec, std::size_t per_block) {
  const Batch batch(spec, 1, 5);
  ModelSpec deeper = spec;
  deeper.layers = spec.layers + 1;
  Model shallow(spec, DType::F32), deep(deeper, DType::F32);
  const std::size_t block =
      step(deep, batch, Impl::Cpu, 0, 1).nodes - step(shallow, batch, Impl::Cpu, 0, 1).nodes;
  EXPECT_LE(block, per_block);
}

void check_overfits(const ModelSpec& spec) {
  Model m(spec, DType::F32, 0.0);
  const Batch batch(spec, 1, 32);
  const Tensor moment1({m.store.trainable_extent()}, DType::F32),
      moment2({m.store.trainable_extent()}, DType::F32);
  Workspace ws(Device::cpu(), Impl::Cpu, 0, 1 << 20, 0);
  double loss = 0;
  for (std::uint64_t t = 1; t <= 150; ++t) {
    loss = step(m, batch, Impl::Cpu, 0, 1).loss[0] / 32;
    const auto n = static_cast<double>(t);
    const StepScalars scalars{.lr = 5e-3f,
                              .bias1 = static_cast<float>(1 - std::pow(0.9, n)),
                              .bias2 = static_cast<float>(1 - std::pow(0.99, n)),
                              .grad_scale = 1.0f,
                              .step = t};
    for (const ParamGroup& g : m.store.groups()) {
      const std::int64_t end = g.begin + g.master.numel();
      adamw_table().cpu.forward(ws.ctx(), {.master = g.master,
                                           .m = moment1.view.slice(0, g.begin, end),
                                           .v = moment2.view.slice(0, g.begin, end),
                                           .grad = g.grad,
                                           .value = g.value,
                                           .scalars = &scalars,
                                           .beta1 = 0.9,
                                           .beta2 = 0.99,
                                           .eps = 1e-18,
                                           .lr_scale = static_cast<double>(g.lr_scale),
                                           .weight_decay = 0.0});
    }
  }
  EXPECT_LT(loss, 0.1) << "from ln V = " << std::log(static_cast<double>(spec.vocab));
}

}  // namespace rt::testing
