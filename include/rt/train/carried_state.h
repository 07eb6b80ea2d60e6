#pragma once
#include <functional>
#include <string>
#include <vector>

#include "rt/nn/language_model.h"
#include "rt/ops/step_control.h"

namespace rt {

// The recurrent state that every sequence of a step hands on to the same one of the next (data.order
// sequential with document_state carry): truncated backpropagation through time, without a gradient across
// steps.
//
// A micro-batch starts from what the step before left, and leaves its own beside it, which takes its place in
// keep() and only if the step was good: a step that is given up, or that is not finite, changes nothing here.
class CarriedState {
 public:
  // For steps of `sequences`, in micro-batches of `micro_sequences`. Empty state. A dry run of ctx counts
  // memory.
  CarriedState(ExecContext& ctx, const LanguageModel& model, DType compute, std::int64_t sequences,
               std::int64_t micro_sequences);

  // One micro-batch's, on ctx.saved, where those of all find the same addresses: what a recording needs.
  struct Staged {
    TensorView block, block_after;          // memory, which one copy moves
    std::vector<TensorView> before, after;  // in it, by LanguageModel::state_fields()
  };
  Staged stage(int micro, bool continues);  // `before` is zero unless it continues
  void put(int micro, const Staged& staged);
  void keep(const StepReport* report);  // on the device; after step_control

  // What the next step starts from, on the host: names of state_fields(), shapes (sequences, ...). Waits for
  // the device.
  struct Field {
    std::string name;
    Tensor value;
  };
  std::vector<Field> read() const;
  void write(const std::function<void(const std::string& name, const TensorView& value)>& fill);
  std::size_t device_bytes() const { return now_.view.nbytes() + next_.view.nbytes(); }
  std::size_t file_bytes() const;  // of read()

 private:
  std::vector<TensorView> in_block(const TensorView& block) const;
  TensorView block_of(const TensorView& blocks, int micro) const;
  std::vector<Field> fields() const;  // zeros
  // Of each field and micro-batch, its part of the field and its place in `blocks`.
  void for_each_part(const std::vector<Field>& fields, const TensorView& blocks,
                     const std::function<void(const TensorView& part, const TensorView& place)>& visit) const;

  ExecContext& ctx_;
  std::vector<StateField> layout_;  // of one micro-batch
  DType compute_;
  std::int64_t micro_batches_, rows_;
  Tensor now_, next_;  // (micro_batches, bytes of one) U8
};

}  // namespace rt
