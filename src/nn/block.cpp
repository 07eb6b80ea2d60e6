#include "rt/nn/block.h"

#include "rt/nn/init.h"
#include "rt/ops/add_norm.h"

namespace rt {

Block::Block(const ModelSpec& spec, int layer, const ParamScope& scope)
    : layer_(layer),
      ln1_weight_(&scope.add("ln1.weight", {spec.width}, init::constant(1))),
      ln1_bias_(&scope.add("ln1.bias", {spec.width}, init::constant(0))),
      ln2_weight_(&scope.add("ln2.weight", {spec.width}, init::constant(1))),
      ln2_bias_(&scope.add("ln2.bias", {spec.width}, init::constant(0))),
      token_mixer_(make_token_mixer(spec, layer, scope)),
      channel_mixer_(make_channel_mixer(spec, layer, scope)) {}

std::vector<StateField> Block::state_fields(std::int64_t batch) const {
  std::vector<StateField> fields = token_mixer_->state_fields(batch);
  for (StateField& field : channel_mixer_->state_fields(batch)) fields.push_back(std::move(field));
  return fields;
}

Block::Out Block::forward(Tape& tape, const In& in, Taps* taps) const {
  const auto tap = [&](TapKind kind, Var v) {
    if (taps && taps->wants(layer_, kind)) taps->put(layer_, kind, v);
  };
  const std::size_t mixer_fields = token_mixer_->state_fields(1).size();
  const bool stateful = !in.state.empty();
  const Var normed = layer_norm(tape, in.x, tape.param(*ln1_weight_), tape.param(*ln1_bias_));
  tap(TapKind::MixerIn, normed);
  const MixOut mixed = token_mixer_->forward(
      tape, {normed, in.reset, stateful ? in.state.first(mixer_fields) : in.state, in.v_first});
  tap(TapKind::MixerOut, mixed.y);
  tap(TapKind::MixerState, mixed.state.back());
  const auto [x, normed2] = add_norm(tape, in.x, mixed.y, tape.param(*ln2_weight_), tape.param(*ln2_bias_));
  const MixOut channel = channel_mixer_->forward(
      tape, {normed2, in.reset, stateful ? in.state.subspan(mixer_fields) : in.state, Var{}});
  Out out{add(tape, x, channel.y), mixed.v_first, mixed.state};
  out.state.insert(out.state.end(), channel.state.begin(), channel.state.end());
  tap(TapKind::BlockOut, out.x);
  return out;
}

}  // namespace rt
