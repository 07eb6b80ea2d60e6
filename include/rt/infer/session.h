#pragma once
#include <memory>
#include <span>
#include <vector>

#include "rt/core/exec.h"
#include "rt/nn/language_model.h"

namespace rt {

// One sequence being read and written by the model as an RNN. Memory is fixed at construction: the recurrent
// state, and the workspace of one prompt chunk. The model must outlive it.
class Session {
 public:
  Session(const LanguageModel& model, Impl impl, DType compute, std::int64_t prompt_chunk = 64);

  void reset();  // empty state
  // Reads tokens and returns the logits (V) after the last one; valid until the next call. Prompts are taken
  // in chunks with the parallel form, single tokens with the step form.
  std::span<const float> feed(std::span<const std::int32_t> tokens);
  std::uint64_t position() const { return position_; }  // tokens read since reset

  const std::vector<StateField>& state_fields() const { return fields_; }
  const TensorView& state(std::size_t i) const { return state_[i].view; }

 private:
  void forward(ExecContext& ctx, std::span<const std::int32_t> tokens);

  const LanguageModel& model_;
  std::int64_t chunk_;
  std::vector<StateField> fields_;
  std::vector<Tensor> state_;
  std::vector<float> logits_;
  std::vector<std::byte> host_row_;  // the logits in the dtype the model has them in
  std::unique_ptr<Workspace> workspace_;
  std::uint64_t position_ = 0;
};

}  // namespace rt
