#pragma once
#include "rt/core/upload_ring.h"
#include "rt/ops/step_control.h"
#include "rt/optim/optimizer.h"

namespace rt {

// Sum of squares and count of non-finite elements of a step's gradient. Waits for the device. Zeros in a dry
// run.
NormResult gradient_norm(ExecContext& ctx, const TensorView& flat_grad);

// What the optimizer reads in step t, which counts from 1, but for what step control adds.
StepScalars step_scalars(const AdamWOptions& options, double lr, std::uint64_t t);

// A step from its gradients on: their norm, step control, the optimizer. All of it is given to the device and
// not waited for; a step that is not finite changes nothing all the same, nor does any step after it.
class Update {
 public:
  // A dry run of ctx counts memory and computes nothing.
  Update(ExecContext& ctx, ParamStore& store, AdamW& optimizer, double clip);
  // Step t, which counts from 1. `losses` (n), on the device: of all its sequences; may be absent. Waits
  // while kStepsAhead earlier steps are under way.
  void give(double lr, std::uint64_t t, const TensorView& losses);
  // Of the last step given, or of the first bad one. Waits for the device.
  StepReport read();
  const StepReport* report() const { return &memory_->report; }  // on the device
  void forget();                                                 // what was bad: the next step updates again
  std::size_t device_bytes() const;

  static constexpr int kStepsAhead = 2;

 private:
  struct Memory {  // on the device
    NormResult norm;
    StepReport report;
  };
  ExecContext& ctx_;
  ParamStore& store_;
  AdamW& optimizer_;
  double clip_;
  UploadRing scalars_;
  Tensor buffer_;
  Memory* memory_;
};

}  // namespace rt
