#pragma once
#include "rt/nn/mixer.h"

namespace rt {

// RWKV-7's channel mixing: value( relu( key( x + (xprev - x) x_k ) )^2 ), reference/rwkv.md 1.4.
// State: ffn_x_prev (B, C).
class ReluSqMixer final : public ChannelMixer {
 public:
  ReluSqMixer(const ModelSpec& spec, int layer, const ParamScope& scope);
  std::vector<StateField> state_fields(std::int64_t batch) const override;
  MixOut forward(Tape& tape, const MixIn& in) const override;

 private:
  std::int64_t width_;
  Parameter* x_k_;    // (1, 1, C)
  Parameter* key_;    // (F, C)
  Parameter* value_;  // (C, F)
};

}  // namespace rt
