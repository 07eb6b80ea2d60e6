#include "rt/core/error.h"
#include "rt/nn/mixer.h"
#include "rt/nn/mixers/relu_sq.h"
#include "rt/nn/mixers/rwkv7.h"

namespace rt {

std::unique_ptr<TokenMixer> make_token_mixer(const ModelSpec& spec, int layer, const ParamScope& scope) {
  if (spec.arch == "rwkv7") return std::make_unique<Rwkv7Mixer>(spec, layer, scope.child("att"));
  fail(Exit::Config, "model.arch: \"{}\" has no token mixer here", spec.arch);
}

std::unique_ptr<ChannelMixer> make_channel_mixer(const ModelSpec& spec, int layer, const ParamScope& scope) {
  if (spec.arch == "rwkv7") return std::make_unique<ReluSqMixer>(spec, layer, scope.child("ffn"));
  fail(Exit::Config, "model.arch: \"{}\" has no channel mixer here", spec.arch);
}

}  // namespace rt
