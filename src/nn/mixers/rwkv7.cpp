#include "rt/nn/mixers/rwkv7.h"

#include <cmath>

#include "rt/nn/init.h"
#include "rt/ops/group_norm_bonus_gate.h"
#include "rt/ops/key_prepare.h"
#include "rt/ops/linear.h"
#include "rt/ops/low_rank.h"
#include "rt/ops/slice_state.h"
#include "rt/ops/token_shift.h"
#include "rt/ops/value_residual.h"
#include "rt/ops/wkv7.h"

namespace rt {
namespace {

constexpr double kGroupNormEps = 64e-5;

// The position-dependent shapes of the initial values: reference/rwkv.md 1.4.
struct Rwkv7Init {
  double C, N, depth, rest;  // depth: 0 at the first layer, 1 at the last; rest: 1 at the first, towards 0

  Rwkv7Init(const ModelSpec& s, int layer)
      : C(static_cast<double>(s.width)),
        N(static_cast<double>(s.head_size)),
        depth(layer / static_cast<double>(s.layers - 1)),
        rest(1.0 - layer / static_cast<double>(s.layers)) {}

  Init mix(double power) const {
    return init::per_channel(
        [=, *this](std::int64_t i) { return 1.0 - std::pow(static_cast<double>(i) / C, power * rest); });
  }
  double ramp(std::int64_t i) const { return static_cast<double>(i) / (C - 1) - 0.5; }
  double zigzag(std::int64_t i) const {
    const double z = (static_cast<double>(i % static_cast<std::int64_t>(N)) - (N - 1) / 2) / ((N - 1) / 2);
    return z * std::abs(z);
  }
  double decay(std::int64_t i) const {
    return -6 + 6 * std::pow(static_cast<double>(i) / (C - 1), 1 + std::pow(depth, 0.3));
  }
};

}  // namespace

Rwkv7Mixer::Rwkv7Mixer(const ModelSpec& spec, int layer, const ParamScope& scope)
    : heads_(spec.heads()), head_size_(spec.head_size), layer_(layer) {
  const std::int64_t C = spec.width;
  const Rwkv7Init at(spec, layer);
  const Shape vector{1, 1, C};
  x_r_ = &scope.add("x_r", vector, at.mix(0.2));
  x_w_ = &scope.add("x_w", vector, at.mix(0.9));
  x_k_ = &scope.add("x_k", vector, at.mix(0.7));
  x_v_ = &scope.add("x_v", vector, at.mix(0.7));
  x_a_ = &scope.add("x_a", vector, at.mix(0.9));
  x_g_ = &scope.add("x_g", vector, at.mix(0.2));
  w0_ = &scope.add("w0", vector,
                   init::per_channel([at](auto i) { return at.decay(i) + 0.5 + 2.5 * at.zigzag(i); }),
                   {.lr_scale = 2.0f});
  w1_ = &scope.add("w1", {C, spec.decay_rank}, init::constant(0));
  w2_ = &scope.add("w2", {spec.decay_rank, C}, init::orthogonal_scaled(0.1));
  a0_ = &scope.add("a0", vector,
                   init::per_channel([at](auto i) { return -0.19 + 0.3 * at.zigzag(i) + 0.4 * at.ramp(i); }));
  a1_ = &scope.add("a1", {C, spec.rate_rank}, init::constant(0));
  a2_ = &scope.add("a2", {spec.rate_rank, C}, init::orthogonal_scaled(0.1));
  v0_ = &scope.add("v0", vector, init::per_channel([at](auto i) { return 0.73 - 0.4 * at.ramp(i); }));
  v1_ = &scope.add("v1", {C, spec.value_rank}, init::constant(0));
  v2_ = &scope.add("v2", {spec.value_rank, C}, init::orthogonal_scaled(0.1));
  g1_ = &scope.add("g1", {C, spec.gate_rank}, init::constant(0));
  g2_ = &scope.add("g2", {spec.gate_rank, C}, init::orthogonal_scaled(0.1));
  k_k_ = &scope.add("k_k", vector, init::per_channel([at](auto i) { return 0.71 - 0.1 * at.ramp(i); }));
  k_a_ = &scope.add("k_a", vector, init::constant(1.02));
  r_k_ = &scope.add("r_k", {heads_, head_size_}, init::constant(-0.04));
  const ParamOptions matrix{.decay = true};
  receptance_ = &scope.add("receptance.weight", {C, C}, init::orthogonal(1), matrix);
  key_ = &scope.add("key.weight", {C, C}, init::orthogonal(0.1), matrix);
  value_ = &scope.add("value.weight", {C, C}, init::orthogonal(1), matrix);
  output_ = &scope.add("output.weight", {C, C}, init::constant(0), matrix);
  const double scale = std::pow((layer + 1) / static_cast<double>(spec.layers), 0.7);
  ln_x_weight_ = &scope.add("ln_x.weight", {C}, init::constant(scale));
  ln_x_bias_ = &scope.add("ln_x.bias", {C}, init::constant(0));
}

std::vector<StateField> Rwkv7Mixer::state_fields(std::int64_t batch) const {
  return {{"att_x_prev", {batch, heads_ * head_size_}, false},
          {"att_kv", {batch, heads_, head_size_, head_size_}, true}};
}

MixOut Rwkv7Mixer::forward(Tape& tape, const MixIn& in) const {
  const auto p = [&](Parameter* parameter) { return tape.param(*parameter); };
  const bool stateful = !in.state.empty();
  const Var mixes[] = {p(x_r_), p(x_w_), p(x_k_), p(x_v_), p(x_a_), p(x_g_)};
  const Var before = shift_state_of(tape, in.x, stateful ? in.state[0] : Var{});
  const TokenShiftResult shifted = token_shift(tape, in.x, mixes, before, in.reset);
  const Var x_r = shifted.y[0], x_w = shifted.y[1], x_k = shifted.y[2], x_v = shifted.y[3],
            x_a = shifted.y[4], x_g = shifted.y[5];

  const Var r = linear(tape, x_r, p(receptance_));
  const Var w = low_rank(tape, x_w, p(w1_), p(w2_), p(w0_), Activation::Tanh, Activation::None);
  const Var k = linear(tape, x_k, p(key_));
  Var v = linear(tape, x_v, p(value_));
  Var v_first = in.v_first;
  if (layer_ == 0) {
    v_first = v;
  } else {
    const Var blend = low_rank(tape, x_v, p(v1_), p(v2_), p(v0_), Activation::None, Activation::Sigmoid);
    v = value_residual(tape, v, v_first, blend);
  }
  const Var rate = low_rank(tape, x_a, p(a1_), p(a2_), p(a0_), Activation::None, Activation::Sigmoid);
  const Var gate = low_rank(tape, x_g, p(g1_), p(g2_), Var{}, Activation::Sigmoid, Activation::None);

  const KeyPrepared keys = key_prepare(tape, k, rate, p(k_k_), p(k_a_), head_size_);
  const Wkv7Result scan = wkv7(tape, r, w, keys.k, v, keys.a, keys.b, stateful ? in.state[1] : Var{},
                               in.reset, head_size_, Wkv7Decay::Clamped);
  const Var mixed = group_norm_bonus_gate(tape, scan.y, r, keys.k, v, gate, p(r_k_), p(ln_x_weight_),
                                          p(ln_x_bias_), head_size_, kGroupNormEps);
  return {linear(tape, mixed, p(output_)), {shifted.state, scan.state}, v_first};
}

}  // namespace rt
