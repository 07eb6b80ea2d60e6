#pragma once
#include "rt/core/stream.h"
#include "rt/core/tensor.h"

namespace rt {

// Processes that train on one sequence, each on its slice of time; rank 0 has the first. What a recurrence
// needs of the others comes through here (rt/ops/slice_state.h).
class TimeSlices {
 public:
  virtual ~TimeSlices() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // all (size n) = every rank's `mine` (n), any dtype, contiguous, in the order of the stream. Every rank
  // comes to the same calls in the same order.
  virtual void all_gather(const TensorView& mine, const TensorView& all, const Stream& stream) = 0;
};

}  // namespace rt
