#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "rt/autograd/tape.h"

namespace rt {

enum class TapKind : std::uint8_t { MixerIn, MixerOut, MixerState, BlockOut, Logits };

// Values inside a model that somebody asked to see (distillation, analysis). What nobody wants costs one
// branch.
class Taps {
 public:
  void want(int layer, TapKind kind) { wanted_.insert({layer, kind}); }
  bool wants(int layer, TapKind kind) const { return wanted_.contains({layer, kind}); }
  void put(int layer, TapKind kind, Var v) { values_[{layer, kind}] = v; }
  Var get(int layer, TapKind kind) const {
    const auto found = values_.find({layer, kind});
    return found == values_.end() ? Var{} : found->second;
  }

 private:
  std::set<std::pair<int, TapKind>> wanted_;
  std::map<std::pair<int, TapKind>, Var> values_;
};

}  // namespace rt
