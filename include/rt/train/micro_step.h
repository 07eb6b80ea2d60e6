#pragma once
#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "rt/core/graph.h"
#include "rt/nn/param_store.h"
#include "rt/train/batch_feed.h"
#include "rt/train/carried_state.h"
#include "rt/train/exchange.h"
#include "rt/train/objective.h"

namespace rt {

// The batch where ctx computes: itself on the CPU, else a copy on ctx.saved.
BatchView on_device(ExecContext& ctx, const BatchView& batch);

// Forward and backward of one micro-batch. Returns the loss sum of each sequence; gradients are added to the
// store's. Empty in a dry run.
std::vector<double> micro_step(ExecContext& ctx, Objective& objective, const BatchView& batch,
                               double grad_scale);

// micro_step again and again with batches of one shape. Where the device has graphs, the second call of a
// kind in a row records the device's work and is a replay of it, as are later ones: the same bits without the
// host's work per kernel. (The first call is not recorded, because libraries load code and choose kernels in
// it.) What differs from the recorded call in more than the batch's contents is not replayed, and the second
// of these in a row that are alike, as when sequences become longer, is recorded instead. A recording that
// fails costs one log line.
class MicroStepper {
 public:
  // `sequences`: the most whose losses are kept, those of an optimizer step. A dry run of ctx counts memory.
  // `carried`: the state that sequences start from and leave; null: from none. `exchange`: learns of
  // gradients as they become complete; where it listens, nothing is recorded or replayed; nor with `slices`:
  // sequences are parts of longer ones.
  MicroStepper(ExecContext& ctx, Objective& objective, ParamStore& store, bool graphs, std::int64_t sequences,
               CarriedState* carried = nullptr, Exchange* exchange = nullptr, TimeSlices* slices = nullptr);
  // Gives one micro-step to the device, which it waits for no more than BatchFeed does; `batch` is then free
  // for reuse. `first`: of its optimizer step. `continues`: from the carried state. Gradients are added to,
  // unless it is the first, or `overwrite`.
  void give(const BatchView& batch, double grad_scale, bool first, bool continues = false,
            bool overwrite = false);
  // (n) on the device: the loss sums of all that was given since the last call, in order. Valid until more is
  // given.
  TensorView take_losses();
  std::vector<double> run(const BatchView& batch, double grad_scale, bool first);  // give, then read them
  bool replaying() const { return kinds_[0].graph || kinds_[1].graph; }
  std::size_t device_bytes() const;  // beside ctx's arenas

 private:
  // All that a recording depends on, but for contents of memory.
  struct Key {
    Shape shape;
    bool reset = false;
    double grad_scale = 0;
    const void* staged = nullptr;   // on ctx.saved
    std::vector<bool> accumulates;  // per parameter: has a gradient before it
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Kind {
    Key key;        // of the recording
    Key last;       // of the last call that was not replayed
    int calls = 0;  // with it, in a row
    std::optional<DeviceGraph> graph;
    std::vector<Parameter*> reached;  // have a gradient after it
  };
  Key key_of(const BatchView& batch, double grad_scale, const void* staged) const;
  bool should_record(Kind& kind, const Key& key);
  void record(Kind& kind, const std::function<void()>& work);

  ExecContext& ctx_;
  Objective& objective_;
  ParamStore& store_;
  bool graphs_;
  BatchFeed feed_;
  std::array<Kind, 2> kinds_;
  CarriedState* carried_;
  Exchange* exchange_;
  TimeSlices* slices_;
  int micro_ = 0;  // of its optimizer step
  Tensor ones_;    // (sequences) what losses are seeded with
  Tensor kept_;    // (sequences) loss sums
  std::int64_t kept_count_ = 0;
};

}  // namespace rt
