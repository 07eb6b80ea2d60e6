#pragma once
#include "rt/nn/mixer.h"

namespace rt {

// RWKV-7 "Goose" time mixing (x070), arXiv 2503.14456; equations, names and initial values:
// reference/rwkv.md 1.4. State: att_x_prev (B, C), the last normed input; att_kv (B, H, N, N) [value][key].
// v_first is layer 0's value (B, T, C); later layers blend it into theirs. Layer 0 owns v0, v1, v2 as the
// official trainer's files do, but does not use them.
class Rwkv7Mixer final : public TokenMixer {
 public:
  Rwkv7Mixer(const ModelSpec& spec, int layer, const ParamScope& scope);
  std::vector<StateField> state_fields(std::int64_t batch) const override;
  MixOut forward(Tape& tape, const MixIn& in) const override;

 private:
  std::int64_t heads_, head_size_;
  int layer_;
  Parameter *x_r_, *x_w_, *x_k_, *x_v_, *x_a_, *x_g_;  // (1, 1, C)
  Parameter *w0_, *w1_, *w2_;                          // (1, 1, C), (C, Dw), (Dw, C)
  Parameter *a0_, *a1_, *a2_;
  Parameter *v0_, *v1_, *v2_;
  Parameter *g1_, *g2_;
  Parameter *k_k_, *k_a_;                            // (1, 1, C)
  Parameter* r_k_;                                   // (H, N)
  Parameter *receptance_, *key_, *value_, *output_;  // (C, C)
  Parameter *ln_x_weight_, *ln_x_bias_;              // (C)
};

}  // namespace rt
