#pragma once
#include <optional>
#include <vector>

#include "rt/dist/communicator.h"
#include "rt/nn/param_store.h"
#include "rt/train/gradient_tree.h"

namespace rt {

// How processes that train together share a step's work: each computes micro-batches of its own, round after
// round, and what they find is summed unit by unit, while backward goes on; then each updates what it owns
// and hands it to the others, while the next forward goes on (ZeRO, Rajbhandari et al. 2020).
class Exchange {
 public:
  struct Options {
    int rounds = 1;              // micro-batches of a step that each process computes; the last may be none
    bool deterministic = false;  // sums as GradientTree orders them
    DType wire = DType::F32;     // of gradients
  };
  // The communicator's processes are those of the store's sharding. A dry run of ctx counts memory and uses
  // none. All must outlive it.
  Exchange(ExecContext& ctx, ParamStore& store, dist::Communicator& communicator, const Options& options);

  int rank() const { return store_.sharding().rank; }
  int size() const { return store_.sharding().world; }

  // The gradients of a round are written, not added to those of the round before.
  bool overwrites(int round) const { return round == 0 || every_round_; }
  // Before a round's backward; and when it is done, or there was none to do.
  void begin_round(int round);
  void end_round(bool had_work);
  // A parameter's gradient of the round is complete: its unit's may be, too, and starts to be summed.
  void gradient_done(const Parameter& parameter);

  // After the optimizer: its part of every unit's values goes to the others.
  void share_values();
  // ctx's stream finds the values of a unit, or of all, complete from now on.
  void await_values(std::size_t unit);
  void await_values();

  // all (size n) = what every rank has in `mine` (n), which is its part of it.
  void gather(const TensorView& mine, const TensorView& all);
  // Exit::Failure when two processes, which should, do not hold the same values.
  void compare_replicas(std::uint64_t step);
  std::size_t device_bytes() const { return tree_ ? tree_->device_bytes() : 0; }

 private:
  using Ticket = dist::Communicator::Ticket;
  TensorView leaf(std::size_t unit) const;  // where a unit's sum of a round comes to
  void reduce(std::size_t unit);
  void reduce_complete();

  ExecContext& ctx_;
  ParamStore& store_;
  dist::Communicator& communicator_;
  Options options_;
  bool every_round_;  // sums are taken after every round, not after the last one
  std::optional<GradientTree> tree_;
  int round_ = 0;
  std::vector<std::int64_t> at_;  // of units in what this process owns
  std::vector<int> missing_;      // of units: parameters whose gradient is not complete
  std::size_t next_ = 0;          // units from here on are being summed
  std::vector<std::optional<Ticket>> sums_, values_;
};

}  // namespace rt
