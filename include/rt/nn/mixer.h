#pragma once
#include <memory>
#include <string>
#include <vector>

#include "rt/autograd/tape.h"
#include "rt/nn/model_spec.h"
#include "rt/nn/param_store.h"

namespace rt {

// One tensor of a model's recurrent state.
struct StateField {
  std::string name;   // as in the official state, e.g. "att_x_prev"
  Shape shape;        // batch first
  bool accumulation;  // f32 (f64 for Ref) whatever the compute dtype; else compute dtype
  DType dtype(Impl impl, DType compute) const { return accumulation ? accum_dtype(impl) : compute; }
};

struct MixIn {
  Var x;                       // (B, T, C), normed
  Var reset;                   // (B, T) U8, 1 where a document starts; may be absent
  std::span<const Var> state;  // one per state field, or empty: zeros
  Var v_first;                 // first layer's value, from layer 1 on
};
struct MixOut {
  Var y;          // (B, T, C)
  VarList state;  // one per state field
  Var v_first;    // absent unless this mixer shares its value
};

// Mixes information over time. forward serves any T; with T == 1 on a tape that does not record it is the RNN
// step.
class TokenMixer {
 public:
  virtual ~TokenMixer() = default;
  virtual std::vector<StateField> state_fields(std::int64_t batch) const = 0;
  virtual MixOut forward(Tape& tape, const MixIn& in) const = 0;
};

// Mixes channels at one position (and, in RWKV, the position before it).
class ChannelMixer {
 public:
  virtual ~ChannelMixer() = default;
  virtual std::vector<StateField> state_fields(std::int64_t batch) const = 0;
  virtual MixOut forward(Tape& tape, const MixIn& in) const = 0;
};

// The list of architectures: mixer_list.cpp.
std::unique_ptr<TokenMixer> make_token_mixer(const ModelSpec& spec, int layer, const ParamScope& scope);
std::unique_ptr<ChannelMixer> make_channel_mixer(const ModelSpec& spec, int layer, const ParamScope& scope);

}  // namespace rt
