#include <cmath>

#include "apps/bench_kernels.h"
#include "rt/ops/adamw.h"
#include "rt/ops/add_norm.h"
#include "rt/ops/channel_mix.h"
#include "rt/ops/embedding.h"
#include "rt/ops/global_norm.h"
#include "rt/ops/group_norm_bonus_gate.h"
#include "rt/ops/key_prepare.h"
#include "rt/ops/linear.h"
#include "rt/ops/linear_cross_entropy.h"
#include "rt/ops/low_rank.h"
#include "rt/ops/token_shift.h"
#include "rt/ops/value_residual.h"
#include "rt/ops/wkv7.h"

namespace rt {
namespace {

using Kind = KernelInput::Kind;

KernelInput weight(Shape shape) { return {.shape = shape, .kind = Kind::Weight}; }

// An op that only moves memory: so many (B, T, C) tensors forward and backward.
KernelCase streaming(std::string name, std::vector<KernelInput> inputs,
                     std::function<VarList(Tape&, const VarList&)> run, double x, double forward,
                     double backward) {
  KernelCase c;
  c.name = std::move(name);
  c.inputs = std::move(inputs);
  c.run = std::move(run);
  c.forward_elements = forward * x;
  c.backward_elements = backward * x;
  return c;
}

void add_elementwise(std::vector<KernelCase>& all, const KernelSizes& s) {
  const Shape X{s.B, s.T, s.C};
  const double x = static_cast<double>(X.numel());
  const KernelInput in{.shape = X}, vector = weight({s.C});
  all.push_back(streaming(
      "layer_norm", {in, vector, vector},
      [](Tape& t, const VarList& v) { return VarList{layer_norm(t, v[0], v[1], v[2])}; }, x, 2, 3));
  all.push_back(streaming(
      "add_norm", {in, in, vector, vector},
      [](Tape& t, const VarList& v) {
        const AddNormResult r = add_norm(t, v[0], v[1], v[2], v[3]);
        return VarList{r.x, r.y};
      },
      x, 4, 5));
  all.push_back(streaming(
      "token_shift_6", {in, vector, vector, vector, vector, vector, vector},
      [](Tape& t, const VarList& v) { return token_shift(t, v[0], std::span(v).subspan(1), {}, {}).y; }, x, 7,
      8));
  all.push_back(streaming(
      "value_residual", {in, in, in},
      [](Tape& t, const VarList& v) { return VarList{value_residual(t, v[0], v[1], v[2])}; }, x, 4, 7));
  const std::int64_t N = s.N;
  all.push_back(streaming(
      "key_prepare", {in, {.shape = X, .lo = 0}, vector, vector},
      [N](Tape& t, const VarList& v) {
        const KeyPrepared k = key_prepare(t, v[0], v[1], v[2], v[3], N);
        return VarList{k.k, k.a, k.b};
      },
      x, 5, 7));
  all.push_back(streaming(
      "group_norm_bonus_gate", {in, in, in, in, in, weight({s.C / N, N}), vector, vector},
      [N](Tape& t, const VarList& v) {
        return VarList{group_norm_bonus_gate(t, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], N, 64e-5)};
      },
      x, 6, 11));
  all.push_back(streaming(
      "add", {in, in}, [](Tape& t, const VarList& v) { return VarList{add(t, v[0], v[1])}; }, x, 3, 2));
  KernelCase embed = streaming(
      "embedding",
      {{.shape = {s.B, s.T}, .kind = Kind::Ids, .lo = 0, .hi = double(s.V), .differentiable = false},
       weight({s.V, s.C})},
      [](Tape& t, const VarList& v) { return VarList{embedding(t, v[0], v[1])}; }, x, 2, 1);
  embed.backward_bytes = 4.0 * double(s.V * s.C);  // the whole gradient is written
  all.push_back(std::move(embed));
}

void add_products(std::vector<KernelCase>& all, const KernelSizes& s) {
  const Shape X{s.B, s.T, s.C};
  const auto rows = double(s.rows()), C = double(s.C), F = double(s.F), V = double(s.V), D = 64.0;
  const auto push = [&](KernelCase c, double flops, double elements, double weight_elements) {
    c.forward_flops = flops;
    c.backward_flops = 2 * flops;
    c.forward_elements = elements + weight_elements;
    c.backward_elements = 2 * elements + weight_elements;
    c.backward_bytes = 4 * weight_elements;
    all.push_back(std::move(c));
  };
  KernelCase c;
  c.name = "linear";
  c.inputs = {{.shape = X}, weight({s.C, s.C})};
  c.run = [](Tape& t, const VarList& v) { return VarList{linear(t, v[0], v[1])}; };
  push(c, 2 * rows * C * C, 2 * rows * C, C * C);
  c.name = "channel_mix";
  c.inputs = {{.shape = X}, weight({s.F, s.C}), weight({s.C, s.F})};
  c.run = [](Tape& t, const VarList& v) { return VarList{channel_mix(t, v[0], v[1], v[2])}; };
  push(c, 4 * rows * C * F, rows * (2 * C + 2 * F), 2 * C * F);
  c.name = "low_rank_64";
  c.inputs = {{.shape = X}, weight({s.C, 64}), weight({64, s.C}), weight({s.C})};
  c.run = [](Tape& t, const VarList& v) {
    return VarList{low_rank(t, v[0], v[1], v[2], v[3], Activation::Tanh, Activation::Sigmoid)};
  };
  push(c, 4 * rows * C * D, rows * (2 * C + 2 * D), 2 * C * D);
  KernelCase head;
  head.name = "linear_cross_entropy";
  head.inputs = {{.shape = X, .lo = -0.1, .hi = 0.1},
                 weight({s.V, s.C}),
                 {.shape = {s.B, s.T}, .kind = Kind::Ids, .lo = 0, .hi = V, .differentiable = false}};
  head.run = [scale = 1 / rows](Tape& t, const VarList& v) {
    return VarList{linear_cross_entropy(t, v[0], v[1], v[2], scale, 1e-4)};
  };
  head.seeded_with_ones = true;
  head.forward_flops = 6 * rows * C * V;  // gradients are formed in forward
  head.forward_elements = 2 * rows * C + V * C;
  head.forward_bytes = 4 * V * C;
  all.push_back(std::move(head));
}

void add_scan(std::vector<KernelCase>& all, const KernelSizes& s) {
  const Shape X{s.B, s.T, s.C};
  const double x = static_cast<double>(X.numel()), unit = 1.7 / std::sqrt(double(s.N));
  KernelCase c = streaming(
      "wkv7",
      {{.shape = X},
       {.shape = X, .lo = -4, .hi = 4},
       {.shape = X},
       {.shape = X},
       {.shape = X, .lo = -unit, .hi = unit},
       {.shape = X, .lo = -unit, .hi = unit}},
      [N = s.N](Tape& t, const VarList& v) {
        return VarList{wkv7(t, v[0], v[1], v[2], v[3], v[4], v[5], {}, {}, N, Wkv7Decay::Clamped).y};
      },
      x, 7, 13);
  // A state of 16 bits every 64 tokens: reference mamba_and_kernels.md 3.6.
  c.forward_bytes = c.backward_bytes = 2.0 * double(s.N) / 64 * x;
  all.push_back(std::move(c));
}

void add_update(std::vector<KernelCase>& all, const KernelSizes& s) {
  const std::int64_t n = s.V * s.C;
  const KernelInput flat{.shape = {n}, .kind = Kind::Accumulator, .lo = 0, .differentiable = false};
  const StepScalars scalars{.lr = 1e-3f, .bias1 = 0.1f, .bias2 = 0.01f, .grad_scale = 0.5f, .step = 1};
  KernelCase c;
  c.name = "adamw";
  c.inputs = {flat,
              flat,
              flat,
              flat,
              {.shape = {n}, .differentiable = false},
              {.shape = {static_cast<std::int64_t>(sizeof(StepScalars))},
               .kind = Kind::Bytes,
               .differentiable = false,
               .contents = {reinterpret_cast<const char*>(&scalars), sizeof scalars}}};
  c.run = [](Tape& t, const VarList& v) {
    const bool shared = t.value(v[4]).dtype == t.value(v[0]).dtype;  // then there is no copy to keep
    adamw(t.ctx(), {.master = t.value(v[0]),
                    .m = t.value(v[1]),
                    .v = t.value(v[2]),
                    .grad = t.value(v[3]),
                    .value = t.value(v[shared ? 0 : 4]),
                    .scalars = reinterpret_cast<const StepScalars*>(t.value(v[5]).data),
                    .beta1 = 0.9,
                    .beta2 = 0.99,
                    .eps = 1e-18,
                    .lr_scale = 1,
                    .weight_decay = 0.1});
    return VarList{};
  };
  c.forward_bytes = 28.0 * double(n);
  c.forward_elements = double(n);
  all.push_back(c);
  c.name = "global_norm";
  c.inputs = {flat,
              {.shape = {static_cast<std::int64_t>(sizeof(NormResult))},
               .kind = Kind::Bytes,
               .differentiable = false,
               .contents = std::string(sizeof(NormResult), 0)}};
  c.run = [](Tape& t, const VarList& v) {
    global_norm(t.ctx(), t.value(v[0]), reinterpret_cast<NormResult*>(t.value(v[1]).data));
    return VarList{};
  };
  c.forward_bytes = 4.0 * double(n);
  c.forward_elements = 0;
  all.push_back(c);
}

}  // namespace

std::vector<KernelCase> kernel_cases(const KernelSizes& s) {
  std::vector<KernelCase> all;
  add_scan(all, s);
  add_elementwise(all, s);
  add_products(all, s);
  add_update(all, s);
  return all;
}

}  // namespace rt
