#pragma once
#include "rt/config/run_config.h"
#include "rt/core/time_slices.h"
#include "rt/data/loader.h"
#include "rt/dist/communicator.h"

namespace rt {

// What of a step is whose. Processes that follow each other share the time of the same sequences
// (parallel.context of them), and such groups take turns at the micro-batches.
struct Share {
  int rank = 0, ranks = 1;    // micro-batches rank, rank + ranks, ...
  int slice = 0, slices = 1;  // and of their time one of so many equal parts
  bool has(std::int64_t round, std::int64_t micro_batches) const {
    return rank + round * ranks < micro_batches;
  }
};
Share share_of(const RunConfig& config, int rank, int world);

// Leaves of a batch the slice's time: (B, T / slices).
void keep_slice(data::Batch& batch, const Share& share);

// Of a communicator of those who have the slices of the same sequences; null: in a dry run.
class CommunicatorSlices final : public TimeSlices {
 public:
  CommunicatorSlices(const Share& share, dist::Communicator* communicator)
      : share_(share), communicator_(communicator) {}
  int rank() const override { return share_.slice; }
  int size() const override { return share_.slices; }
  void all_gather(const TensorView& mine, const TensorView& all, const Stream& stream) override;

 private:
  Share share_;
  dist::Communicator* communicator_;
};

}  // namespace rt
