#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

#include "rt/core/host.h"
#include "rt/optim/optimizer.h"
#include "rt/train/micro_step.h"
#include "rt/train/update.h"

// A model of two layers in training, step by step and without a Trainer.
namespace rt::testing {

inline constexpr int kMicroBatches = 3;
inline constexpr double kScale = 1.0 / 48;
inline constexpr int kSequences = 6;  // of a step

inline Device device() { return parse_device("auto"); }
inline bool has_graphs() { return device().kind != DeviceKind::Cpu && cuda::graph_begin; }

inline ModelSpec toy_spec() {
  ModelSpec spec;
  spec.layers = 2;
  spec.width = 32;
  spec.head_size = 16;
  spec.vocab = 19;
  spec.decay_rank = spec.rate_rank = spec.value_rank = spec.gate_rank = 8;
  return spec;
}

// B rows of T tokens, and where to forget all before, if anywhere.
struct HostBatch {
  Tensor tokens, targets, reset;
  HostBatch(std::int64_t B, std::int64_t T, std::uint64_t number, bool with_reset = true)
      : tokens({B, T}, DType::I32), targets({B, T}, DType::I32) {
    const Rng rng{9, number};
    const auto vocab = static_cast<std::uint64_t>(toy_spec().vocab);
    for (std::int64_t i = 0; i < B * T; ++i) {
      const auto n = static_cast<std::uint64_t>(i);
      tokens.view.as<std::int32_t>()[i] = static_cast<std::int32_t>(rng.below(n, vocab));
      targets.view.as<std::int32_t>()[i] = static_cast<std::int32_t>(rng.below(n + 1000, vocab));
    }
    if (!with_reset) return;
    reset = Tensor({B, T}, DType::U8);
    reset.view.as<std::uint8_t>()[number % static_cast<std::uint64_t>(T)] = 1;
  }
  BatchView view() const { return {tokens.view, targets.view, reset.view}; }
};

// Next-token training that counts how often the host runs it, and that may do what a recording does not
// allow.
class Counted final : public Objective {
 public:
  Counted(const LanguageModel& model, ExecContext& ctx) : inner_(model, 1e-4, Recompute::None), ctx_(ctx) {}
  Var loss(Tape& tape, const BatchView& batch, double grad_scale) override {
    ++calls;
    const Var loss = inner_.loss(tape, batch, grad_scale);
    if (waits) ctx_.stream.synchronize();
    if (calls == throws_in) throw std::runtime_error("thrown by the objective");
    return loss;
  }
  int calls = 0;
  int throws_in = -1;
  bool waits = false;

 private:
  NextToken inner_;
  ExecContext& ctx_;
};

// The same weights for all. Matrices that start as zero would hide gradients.
inline void fill(ParamStore& store) {
  store.initialize(Rng{1, 0});
  std::uint64_t stream = 0;
  for (Parameter* p : store.parameters()) {
    const Rng rng{2, stream++};
    const HostTensor host(p->master);
    for (std::int64_t i = 0; i < host.view().numel(); ++i) {
      const double noise = 0.3 * (rng.uniform(static_cast<std::uint64_t>(i)) - 0.5);
      set_element(host.view(), i, element(host.view(), i) + noise);
    }
    host.write_back();
  }
  store.sync_compute();
}

// A model in training. Two of these start from the same weights.
class Toy {
 public:
  explicit Toy(bool record, DType compute = DType::F32) : Toy(record, compute, measured(compute)) {}

  std::vector<double> run(const HostBatch& batch, bool first, double scale = kScale) {
    return stepper->run(batch.view(), scale, first);
  }
  // One optimizer step; returns the loss sums of its micro-batches.
  std::vector<double> step(std::uint64_t number) {
    std::vector<double> losses;
    for (int micro = 0; micro < kMicroBatches; ++micro) {
      for (const double sum : run(HostBatch(2, 16, number * kMicroBatches + micro), micro == 0))
        losses.push_back(sum);
    }
    return losses;
  }
  // From now on with state that is handed on, between steps of `sequences` in micro-batches of `rows`.
  CarriedState& carry(std::int64_t sequences, std::int64_t rows) {
    carried = std::make_unique<CarriedState>(ws->ctx(), model, store.types().compute, sequences, rows);
    stepper = std::make_unique<MicroStepper>(ws->ctx(), *objective, store, graphs, kSequences, carried.get());
    return *carried;
  }
  void update(std::uint64_t number) { updates->give(1e-3, number + 1, {}); }
  std::vector<std::vector<double>> gradients() {
    ws->ctx().stream.synchronize();
    std::vector<std::vector<double>> all;
    for (const Parameter* p : store.parameters()) {
      std::vector<double>& values = all.emplace_back();
      if (!p->has_grad) continue;
      const HostTensor host(p->grad);
      for (std::int64_t i = 0; i < host.view().numel(); ++i) values.push_back(element(host.view(), i));
    }
    return all;
  }

  ParamStore store;
  LanguageModel model;
  bool graphs;
  std::unique_ptr<Workspace> ws;
  std::unique_ptr<Counted> objective;
  std::unique_ptr<AdamW> optimizer;
  std::unique_ptr<CarriedState> carried;
  std::unique_ptr<MicroStepper> stepper;
  std::unique_ptr<Update> updates;

 private:
  struct Sizes {
    std::size_t saved, scratch, grads;
  };
  static Sizes measured(DType compute) {
    Workspace plan(device(), impl_of(device()));
    ParamStore store(device(), {DType::F32, compute});
    const LanguageModel model(toy_spec().resolve(), store.root());
    store.allocate(MemoryMode::Measure);
    Counted objective(model, plan.ctx());
    AdamW optimizer(store, {}, MemoryMode::Measure);
    CarriedState carried(plan.ctx(), model, compute, 6, 3);
    MicroStepper stepper(plan.ctx(), objective, store, true, kSequences, &carried);
    Update updates(plan.ctx(), store, optimizer, 0);
    for (int call = 0; call < 3; ++call) {
      EXPECT_TRUE(stepper.run(HostBatch(3, 16, 0).view(), kScale, true).empty());
      updates.give(1e-3, 1, {});
    }
    EXPECT_FALSE(stepper.replaying());
    return {plan.saved().high_water(), plan.scratch().high_water(), plan.grads().high_water()};
  }

  Toy(bool record, DType compute, const Sizes& sizes)
      : store(device(), {DType::F32, compute}), model(toy_spec().resolve(), store.root()), graphs(record) {
    store.allocate();
    fill(store);
    ws = std::make_unique<Workspace>(device(), impl_of(device()), sizes.saved, sizes.scratch, sizes.grads);
    objective = std::make_unique<Counted>(model, ws->ctx());
    optimizer = std::make_unique<AdamW>(store, AdamWOptions{});
    stepper = std::make_unique<MicroStepper>(ws->ctx(), *objective, store, graphs, kSequences);
    updates = std::make_unique<Update>(ws->ctx(), store, *optimizer, 0);
  }
};

}  // namespace rt::testing
