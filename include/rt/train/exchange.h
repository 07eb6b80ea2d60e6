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

  // Parameters that backward reaches; the others' gradients are zero. All, until it is said.
  void expect_gradients_of(const std::vector<const Parameter*>& reached);

  // The gradients of a round are written, not added to those of the round before.
  bool overwrites(int round) const { return round == 0 || every_round_; }
  // Sums are taken while backward of this round goes on, so that it has to say how far it is. Else backward
  // may be a replay, after await_values().
  bool listens(int round) const;
  // Before a round's backward; and when it is done, or there was none to do.
  void begin_round(int round);
  void end_round(bool had_work);
  // A parameter's gradient of the round is complete: its unit's may be, too, and starts to be summed.
  void gradient_done(const Parameter& parameter);

  // After the optimizer, or when values were written from outside: this process's part of every unit goes to
  // the others, at once or, where values are shared out, when it is used.
  void share_values();
  // Forward comes to a unit: ctx's stream finds its values complete from now on. Every process has to come
  // to as many.
  void before_unit(std::size_t unit);
  void await_values();  // of all units, unless they are shared out

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
  void finish_sum(std::size_t unit);
  void after_backward(std::size_t unit);
  void zero_unreached(std::size_t unit);
  void idle_round();
  void gather_values(std::size_t unit);
  void fetch_values(std::size_t unit);
  void await_values(std::size_t unit);

  ExecContext& ctx_;
  ParamStore& store_;
  dist::Communicator& communicator_;
  Options options_;
  bool every_round_;  // sums are taken after every round, not after the last one
  std::optional<GradientTree> tree_;
  int round_ = 0;
  // Of units: where they begin in what this process owns; parameters that backward reaches, and those whose
  // gradient of this round is not complete; ranges of `grad` that nothing writes.
  std::vector<std::int64_t> at_;
  std::vector<int> reached_, missing_;
  std::vector<std::vector<TensorView>> unwritten_;
  std::size_t next_ = 0;  // units from here on are being summed, or have been
  std::vector<std::optional<Ticket>> sums_, values_;
  std::vector<std::optional<std::size_t>> in_slot_;  // whose values are there, where these are shared out
};

}  // namespace rt
