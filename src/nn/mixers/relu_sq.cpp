#include "rt/nn/mixers/relu_sq.h"

#include <cmath>

#include "rt/nn/init.h"
#include "rt/ops/channel_mix.h"
#include "rt/ops/slice_state.h"
#include "rt/ops/token_shift.h"

namespace rt {

ReluSqMixer::ReluSqMixer(const ModelSpec& spec, int layer, const ParamScope& scope) : width_(spec.width) {
  const auto C = static_cast<double>(spec.width);
  const double power = std::pow(1.0 - layer / static_cast<double>(spec.layers), 4);
  x_k_ = &scope.add("x_k", {1, 1, spec.width}, init::per_channel([=](auto i) {
                      return 1.0 - std::pow(static_cast<double>(i) / C, power);
                    }));
  key_ = &scope.add("key.weight", {spec.ffn_width, spec.width}, init::orthogonal(1), {.decay = true});
  value_ = &scope.add("value.weight", {spec.width, spec.ffn_width}, init::constant(0), {.decay = true});
}

std::vector<StateField> ReluSqMixer::state_fields(std::int64_t batch) const {
  return {{"ffn_x_prev", {batch, width_}, false}};
}

MixOut ReluSqMixer::forward(Tape& tape, const MixIn& in) const {
  const Var mixes[] = {tape.param(*x_k_)};
  const Var before = shift_state_of(tape, in.x, in.state.empty() ? Var{} : in.state[0]);
  const TokenShiftResult shifted = token_shift(tape, in.x, mixes, before, in.reset);
  return {channel_mix(tape, shifted.y[0], tape.param(*key_), tape.param(*value_)), {shifted.state}, Var{}};
}

}  // namespace rt
