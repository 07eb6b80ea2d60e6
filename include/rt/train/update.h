#pragma once
#include <span>
#include <vector>

#include "rt/core/upload_ring.h"
#include "rt/ops/step_control.h"
#include "rt/optim/optimizer.h"
#include "rt/train/exchange.h"

namespace rt {

// Sum of squares and count of non-finite elements of a step's gradient. Waits for the device. Zeros in a dry
// run.
NormResult gradient_norm(ExecContext& ctx, const TensorView& flat_grad);

// What the optimizer reads in step t, which counts from 1, but for what step control adds.
StepScalars step_scalars(const AdamWOptions& options, double lr, std::uint64_t t);

// The losses of a step, what this process has of them and what all have.
struct StepLosses {
  TensorView mine;         // (n), on the device: of its sequences, in order; may be absent
  std::int64_t rows = 1;   // sequences of a micro-batch
  std::int64_t total = 0;  // sequences of the step, over all processes
  double predictions = 0;  // what `mine` are sums over
};

// A step from its gradients on: their norm, step control, the optimizer. All of it is given to the device and
// not waited for; a step that is not finite changes nothing all the same, nor does any step after it.
class Update {
 public:
  // A dry run of ctx counts memory and computes nothing. `exchange`: with other processes, whose gradients
  // are complete, and each of which has at most `most_sequences` losses; null: alone.
  Update(ExecContext& ctx, ParamStore& store, AdamW& optimizer, double clip, Exchange* exchange = nullptr,
         std::int64_t most_sequences = 0, const SpikeRule& spike = {});
  // Step t, which counts from 1. Waits while kStepsAhead earlier steps are under way.
  void give(double lr, std::uint64_t t, const StepLosses& losses);
  // Of the last step given, or of the first bad one. Waits for the device.
  StepReport read();
  const StepReport* report() const { return report_; }  // on the device
  void forget();                                        // what was bad: the next step updates again
  // What the next step is compared with, oldest first; of the device, which is waited for.
  std::vector<StepPoint> window() const;
  void set_window(std::span<const StepPoint> steps);  // the last of them, as many as the rule looks at
  std::size_t device_bytes() const;

  static constexpr int kStepsAhead = 2;

 private:
  StepControlArgs find(const StepLosses& losses, const StepScalars* scalars);

  ExecContext& ctx_;
  ParamStore& store_;
  AdamW& optimizer_;
  double clip_;
  SpikeRule spike_;
  Exchange* exchange_;
  UploadRing scalars_;
  Tensor report_buffer_;
  StepReport* report_;  // on the device
  Tensor found_;        // (processes, bytes) U8: norms of units, predictions, then losses
  Tensor window_;       // a SpikeWindow, where the rule needs one
};

}  // namespace rt
