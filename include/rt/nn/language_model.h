#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "rt/nn/block.h"

namespace rt {

enum class Recompute : std::uint8_t { None, Block };

// Embedding, norm, blocks, norm, head: reference/rwkv.md 1.0. Parameters carry the official names.
class LanguageModel {
 public:
  // Declares its parameters in `scope`; the store is allocated and filled by the caller afterwards.
  LanguageModel(const ModelSpec& spec, const ParamScope& scope);

  struct In {
    Var tokens;                  // (B, T) I32
    Var reset;                   // (B, T) U8 or absent
    std::span<const Var> state;  // state_fields() order, or none: zeros
    Taps* taps = nullptr;        // not under Recompute::Block
    Recompute recompute = Recompute::None;
    // Called before the forward pass uses the parameters of a unit of the store.
    const std::function<void(std::size_t unit)>* before_unit = nullptr;
  };
  struct Out {
    Var hidden;     // (B, T, C) after the last norm
    VarList state;  // state after the last token, state_fields() order
  };
  Out forward(Tape& tape, const In& in) const;
  Var logits(Tape& tape, Var hidden) const;  // (B, T, V)
  Parameter& head() const { return *head_; }
  Device device() const { return head_->value.device; }  // where its weights are

  // Layer by layer; a field's name is "<layer>.<field>".
  std::vector<StateField> state_fields(std::int64_t batch) const;
  const ModelSpec& spec() const { return spec_; }

 private:
  ModelSpec spec_;
  Parameter *emb_, *ln0_weight_, *ln0_bias_, *ln_out_weight_, *ln_out_bias_, *head_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace rt
