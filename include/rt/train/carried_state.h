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
  // Of a step's micro-batches this process has rank, rank + ranks, ... below `all`; all < 0: its own are all.
  struct Share {
    std::int64_t rank = 0, ranks = 1, all = -1;
  };
  // For steps of which this process computes `sequences`, in micro-batches of `micro_sequences`. Empty state.
  // A dry run of ctx counts memory.
  CarriedState(ExecContext& ctx, const LanguageModel& model, DType compute, std::int64_t sequences,
               std::int64_t micro_sequences, const Share& share);
  CarriedState(ExecContext& ctx, const LanguageModel& model, DType compute, std::int64_t sequences,
               std::int64_t micro_sequences)
      : CarriedState(ctx, model, compute, sequences, micro_sequences, Share{}) {}

  // One micro-batch's, on ctx.saved, where those of all find the same addresses: what a recording needs.
  struct Staged {
    TensorView block, block_after;          // memory, which one copy moves
    std::vector<TensorView> before, after;  // in it, by LanguageModel::state_fields()
  };
  Staged stage(int micro, bool continues);  // `before` is zero unless it continues
  void put(int micro, const Staged& staged);
  void keep(const StepReport* report);  // on the device; after step_control

  // What the next step starts from, on the host: names of state_fields(), (sequences, ...) of this process,
  // in the order of its micro-batches. Waits for the device.
  struct Field {
    std::string name;
    Tensor value;
    Shape all;  // of all processes: the first dimension has every sequence of a step
  };
  std::vector<Field> read() const;
  // begin: where `part` (n, flat) is among the elements of all.
  using VisitPart = std::function<void(const std::string& name, std::int64_t begin, const TensorView& part)>;
  void visit_parts(const std::vector<Field>& fields, const VisitPart& visit) const;
  void write(const VisitPart& fill);
  std::size_t device_bytes() const { return now_.view.nbytes() + next_.view.nbytes(); }
  std::size_t file_bytes() const;  // of all processes' in a checkpoint

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
  Share share_;
  Tensor now_, next_;  // (micro_batches, bytes of one) U8
};

}  // namespace rt
