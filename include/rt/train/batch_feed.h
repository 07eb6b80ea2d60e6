#pragma once
#include <memory>

#include "rt/core/exec.h"
#include "rt/core/upload_ring.h"
#include "rt/train/objective.h"

namespace rt {

// Batches on their way from the host to where ctx computes: through page-locked memory, by a stream of their
// own, while what was given before is computed. On the CPU a batch is there already.
class BatchFeed {
 public:
  explicit BatchFeed(ExecContext& ctx) : ctx_(ctx) {}
  // The batch as ctx's stream finds it from now on: on ctx.saved, where one of the same shape finds the same
  // addresses, or itself on the CPU. On a device `batch` may be reused on return. Waits while kAhead earlier
  // ones have not been reached by ctx's stream.
  BatchView give(const BatchView& batch);
  std::size_t device_bytes() const { return ring_ ? ring_->device_bytes() : 0; }

  static constexpr int kAhead = 2;

 private:
  ExecContext& ctx_;
  std::unique_ptr<UploadRing> ring_;
};

}  // namespace rt
