#include "tests/support/model_harness.h"

#include <gtest/gtest.h>

#include "rt/ops/linear_cross_entropy.h"

namespace rt::testing {
namespace {

ParamStore::Types types_of(DType storage) {
  return storage == DType::F64 ? ParamStore::Types{DType::F64, DType::F64}
                               : ParamStore::Types{DType::F32, storage};
}

}  // namespace

Model::Model(const ModelSpec& spec, DType storage, double noise)
    : store(Device::cpu(), types_of(storage)), net(spec.resolve(), store.root()) {
  store.allocate();
  store.initialize(Rng{1, 0});
  std::uint64_t stream = 0;
  for (Parameter* p : store.parameters()) {
    const Rng rng{2, stream++};
    for (std::int64_t i = 0; i < p->master.numel(); ++i) {
      const double v = element(p->master, i) + noise * (rng.uniform(static_cast<std::uint64_t>(i)) - 0.5);
      set_element(p->master, i, static_cast<double>(static_cast<float>(bf16(static_cast<float>(v)))));
    }
  }
  store.sync_compute();
}

ModelSpec tiny_spec(std::int64_t vocab) {
  ModelSpec spec;
  spec.layers = 2;
  spec.width = 32;
  spec.head_size = 16;
  spec.vocab = vocab;
  return spec.resolve();
}

Batch::Batch(const ModelSpec& spec, std::int64_t B, std::int64_t T)
    : tokens({B, T}, DType::I32), targets({B, T}, DType::I32), reset({B, T}, DType::U8) {
  const Rng rng{9, 0};
  for (std::int64_t i = 0; i < B * T; ++i) {
    const auto n = static_cast<std::uint64_t>(i);
    tokens.view.as<std::int32_t>()[i] =
        static_cast<std::int32_t>(rng.below(n, static_cast<std::uint64_t>(spec.vocab)));
    targets.view.as<std::int32_t>()[i] =
        static_cast<std::int32_t>(rng.below(n + 100000, static_cast<std::uint64_t>(spec.vocab)));
    reset.view.as<std::uint8_t>()[i] = i % T != 0 && rng.below(n + 200000, 9) == 0;
  }
}

StepOut step(Model& m, const Batch& batch, Impl impl, std::int64_t first, std::int64_t end,
             Recompute recompute, bool clear, double l2wrap) {
  Workspace ws(Device::cpu(), impl, kModelArena, kModelArena, kModelArena);
  if (clear) m.store.clear_grads();
  Tape tape(ws.ctx(), Record::Yes);
  const auto rows = [&](const Tensor& t) { return tape.input(t.view.slice(0, first, end)); };
  const Var tokens = rows(batch.tokens), targets = rows(batch.targets), reset = rows(batch.reset);
  const auto out =
      m.net.forward(tape, {.tokens = tokens, .reset = reset, .state = {}, .recompute = recompute});
  const double scale = 1.0 / static_cast<double>(batch.tokens.view.numel());
  const Var loss = linear_cross_entropy(tape, out.hidden, tape.param(m.net.head()), targets, scale, l2wrap);
  StepOut result;
  for (std::int64_t b = 0; b < end - first; ++b) result.loss.push_back(element(tape.value(loss), b));
  const Tensor ones({end - first}, accum_dtype(ws.ctx()));
  for (std::int64_t b = 0; b < end - first; ++b) set_element(ones.view, b, 1.0);
  tape.seed(loss, ones.view);
  result.nodes = tape.node_count();
  tape.backward();
  m.store.finish_grads(ws.ctx().stream);
  result.saved = ws.saved().high_water();
  EXPECT_EQ(ws.grads().live(), 0u);
  return result;
}

double mean_loss(Model& m, const Batch& batch) {
  Workspace ws(Device::cpu(), Impl::Ref, kModelArena, kModelArena, 0);
  Tape tape(ws.ctx(), Record::No);
  const Var targets = tape.input(batch.targets.view);
  const auto out = m.net.forward(
      tape, {.tokens = tape.input(batch.tokens.view), .reset = tape.input(batch.reset.view), .state = {}});
  const Var loss = linear_cross_entropy(tape, out.hidden, tape.param(m.net.head()), targets, 0, 0);
  double total = 0;
  for (std::int64_t b = 0; b < tape.value(loss).numel(); ++b) total += element(tape.value(loss), b);
  return total / static_cast<double>(batch.tokens.view.numel());
}

Read read(Model& m, const Batch& batch, Impl impl, std::int64_t begin, std::int64_t end,
          const std::vector<std::vector<double>>& state) {
  Workspace ws(Device::cpu(), impl, kModelArena, kModelArena, 0);
  Tape tape(ws.ctx(), Record::No);
  const std::int64_t B = batch.tokens.view.shape[0], n = end - begin;
  const Tensor tokens({B, n}, DType::I32), reset({B, n}, DType::U8);
  for (std::int64_t b = 0; b < B; ++b) {
    const TensorView row = batch.tokens.view.slice(0, b, b + 1).slice(1, begin, end);
    const TensorView flags = batch.reset.view.slice(0, b, b + 1).slice(1, begin, end);
    std::copy_n(row.as<std::int32_t>(), n, tokens.view.as<std::int32_t>() + b * n);
    std::copy_n(flags.as<std::uint8_t>(), n, reset.view.as<std::uint8_t>() + b * n);
  }
  std::vector<Tensor> owned;
  VarList vars;
  const auto fields = m.net.state_fields(B);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    owned.emplace_back(fields[i].shape,
                       fields[i].accumulation ? accum_dtype(ws.ctx()) : m.store.types().compute);
    for (std::size_t k = 0; !state.empty() && k < state[i].size(); ++k) {
      set_element(owned.back().view, static_cast<std::int64_t>(k), state[i][k]);
    }
    vars.push_back(tape.input(owned.back().view));
  }
  const auto out = m.net.forward(
      tape, {.tokens = tape.input(tokens.view), .reset = tape.input(reset.view), .state = vars});
  Read r{numbers(tape.value(m.net.logits(tape, out.hidden))), {}};
  for (const Var v : out.state) r.state.push_back(numbers(tape.value(v)));
  return r;
}

}  // namespace rt::testing
