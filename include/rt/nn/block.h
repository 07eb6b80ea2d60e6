#pragma once
#include <memory>

#include "rt/nn/mixer.h"
#include "rt/nn/taps.h"

namespace rt {

// x += mix(LN1(x)); x += channel_mix(LN2(x)).
class Block {
 public:
  Block(const ModelSpec& spec, int layer, const ParamScope& scope);

  struct In {
    Var x, reset, v_first;
    std::span<const Var> state;  // state_fields().size() Vars, or none
  };
  struct Out {
    Var x, v_first;
    VarList state;
  };
  Out forward(Tape& tape, const In& in, Taps* taps) const;
  std::vector<StateField> state_fields(std::int64_t batch) const;

 private:
  int layer_;
  Parameter *ln1_weight_, *ln1_bias_, *ln2_weight_, *ln2_bias_;
  std::unique_ptr<TokenMixer> token_mixer_;
  std::unique_ptr<ChannelMixer> channel_mixer_;
};

}  // namespace rt
