#include "rt/nn/language_model.h"

#include <cmath>

#include "rt/nn/init.h"
#include "rt/ops/embedding.h"
#include "rt/ops/layer_norm.h"
#include "rt/ops/linear.h"

namespace rt {

LanguageModel::LanguageModel(const ModelSpec& spec, const ParamScope& scope) : spec_(spec) {
  const std::int64_t C = spec.width, V = spec.vocab;
  const ParamOptions matrix{.decay = true};
  emb_ = &scope.add("emb.weight", {V, C}, init::uniform(1e-4), matrix);
  const ParamScope blocks = scope.child("blocks");
  const ParamScope first = blocks.child("0");
  ln0_weight_ = &first.add("ln0.weight", {C}, init::constant(1));
  ln0_bias_ = &first.add("ln0.bias", {C}, init::constant(0));
  for (int layer = 0; layer < spec.layers; ++layer) {
    scope.begin_unit();
    blocks_.push_back(std::make_unique<Block>(spec, layer, blocks.child(std::to_string(layer))));
  }
  scope.begin_unit();
  ln_out_weight_ = &scope.add("ln_out.weight", {C}, init::constant(1));
  ln_out_bias_ = &scope.add("ln_out.bias", {C}, init::constant(0));
  const double gain = V > C ? 0.5 * std::sqrt(static_cast<double>(V) / static_cast<double>(C)) : 0.5;
  head_ = &scope.add("head.weight", {V, C}, init::orthogonal(gain), matrix);
}

std::vector<StateField> LanguageModel::state_fields(std::int64_t batch) const {
  std::vector<StateField> all;
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    for (StateField field : blocks_[layer]->state_fields(batch)) {
      field.name = std::to_string(layer) + "." + field.name;
      all.push_back(std::move(field));
    }
  }
  return all;
}

LanguageModel::Out LanguageModel::forward(Tape& tape, const In& in) const {
  const std::size_t fields = blocks_.front()->state_fields(1).size();
  RT_CHECK(in.state.empty() || in.state.size() == fields * blocks_.size(),
           "model state: {} tensors, expected {}", in.state.size(), fields * blocks_.size());
  const auto before = [&](std::size_t unit) {
    if (in.before_unit) (*in.before_unit)(unit);
  };
  before(emb_->unit);
  Var x = embedding(tape, in.tokens, tape.param(*emb_));
  x = layer_norm(tape, x, tape.param(*ln0_weight_), tape.param(*ln0_bias_));
  Var v_first;
  Out out;
  // A tape that does not record keeps nothing but a block's outputs, so memory does not grow with depth.
  const bool segmented = (in.recompute == Recompute::Block || !tape.recording()) && !in.taps;
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    before(emb_->unit + 1 + layer);
    const Block& block = *blocks_[layer];
    const auto run = [&block, taps = in.taps](Tape& t, std::span<const Var> v) {
      const Block::Out o = block.forward(t, {v[0], v[1], v[2], v.subspan(3)}, taps);
      VarList list{o.x, o.v_first};
      list.insert(list.end(), o.state.begin(), o.state.end());
      return list;
    };
    VarList list{x, in.reset, v_first};
    if (!in.state.empty()) {
      const auto mine = in.state.subspan(layer * fields, fields);
      list.insert(list.end(), mine.begin(), mine.end());
    }
    const VarList result = segmented ? checkpoint(tape, list, run) : run(tape, list);
    x = result[0];
    v_first = result[1];
    out.state.insert(out.state.end(), result.begin() + 2, result.end());
  }
  before(head_->unit);
  out.hidden = layer_norm(tape, x, tape.param(*ln_out_weight_), tape.param(*ln_out_bias_));
  return out;
}

Var LanguageModel::logits(Tape& tape, Var hidden) const { return linear(tape, hidden, tape.param(*head_)); }

}  // namespace rt
