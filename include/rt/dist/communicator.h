#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "rt/core/stream.h"
#include "rt/core/tensor.h"
#include "rt/dist/store.h"

namespace rt::dist {

enum class ReduceOp : std::uint8_t { Sum, Max };

struct Reduction {
  ReduceOp op = ReduceOp::Sum;
  // What F32 travels as. BF16 halves the traffic; the sum itself is taken in F32 all the same, and rounded
  // once more where it is sent on (all_reduce).
  DType wire = DType::F32;
};

// Collectives of all processes that train together. Every rank calls the same ones in the same order, with
// equal shapes. Views are contiguous and lie where the communicator's device is.
//
// Each call starts after the work that `stream` holds when it is made, runs beside the host and what the
// stream is given later, and one after the other; memory that it uses is its own until wait().
//
// Sums have a fixed order, that of a binary tree over ranks: (0 + 1) + (2 + 3), ..., with what is beyond the
// last whole power of two added at the end. So they have the same bits in all ranks and in every run, and
// those of one process that adds in that order.
//
// A peer that is lost, or does not answer within the timeout: Exit::Peer from wait(), naming the collective;
// whatever is called after it fails with the same words.
class Communicator {
 public:
  enum class Ticket : std::uint64_t {};  // of a call; counts from 1

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In place, F32 or F64, any size.
  virtual Ticket all_reduce(const TensorView& view, Reduction how, const Stream& stream) = 0;
  // out (n) = the rank's part of the sum of all in (size n), F32 or F64. `in` is left undefined; `out` may be
  // the rank's part of it.
  virtual Ticket reduce_scatter(const TensorView& in, const TensorView& out, Reduction how,
                                const Stream& stream) = 0;
  // out (size n) = every rank's in (n), any dtype. `in` may be the rank's part of out.
  virtual Ticket all_gather(const TensorView& in, const TensorView& out, const Stream& stream) = 0;
  virtual Ticket broadcast(const TensorView& view, int root, const Stream& stream) = 0;

  // What `stream` is given from now on starts after that call is done. On the CPU the caller waits.
  virtual void wait(Ticket ticket, const Stream& stream) = 0;
  // All ranks have come here. The caller waits.
  virtual void barrier() = 0;
  // Ends what is under way with an error, from any thread; nothing can be called after it.
  virtual void abort() noexcept = 0;
};

// Of one process: all of it is free, or a copy.
std::unique_ptr<Communicator> single_communicator();

struct GlooOptions {
  Milliseconds connect{300'000};  // until all ranks have been reached
  Milliseconds timeout{600'000};  // of one collective
  std::string prefix = "gloo";    // of its keys in the store: one for each communicator
};
// On CPUs, over TCP; collectives run on a thread of their own. Exit::Peer when not all can be reached. A
// build without Gloo: Exit::Config.
std::unique_ptr<Communicator> gloo_communicator(Store& store, int rank, int size,
                                                const GlooOptions& options = {});

class Watch;
// The same, whose waits are told to `watch`, which must outlive it.
std::unique_ptr<Communicator> watched(std::unique_ptr<Communicator> communicator, Watch& watch);

}  // namespace rt::dist
