#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "rt/core/device.h"
#include "rt/dist/communicator.h"
#include "rt/dist/store.h"

namespace rt::dist {

// In what order F32 and F64 that travel as they are get summed.
enum class SumOrder : std::uint8_t {
  // As Communicator promises: every rank receives all values of its part and merges them itself. As many
  // bytes
  // as any other way to reduce and scatter, but to all peers at once and not along NCCL's rings and trees.
  Tree,
  // As NCCL does. The order then follows from the algorithm that it chooses for the size, the topology and
  // the
  // number of ranks: a run repeats on the same machines with the same NCCL and NCCL_ALGO=Ring (Tree and NVLS
  // may
  // split a sum otherwise from call to call), and has other bits on others. BF16 on the wire is summed as
  // above
  // all the same: NCCL would round after every addition.
  Library,
};

struct NcclOptions {
  Milliseconds connect{300'000};  // until all ranks have been reached
  Milliseconds timeout{600'000};  // of one collective, from when it is its turn
  Milliseconds close{20'000};     // for NCCL to give up what is under way, or to end; then it is left alone
  std::string prefix = "nccl";    // of its keys in the store: one for each communicator
  SumOrder order = SumOrder::Tree;
  std::size_t staging = 64 << 20;  // bytes of the device that sums may take on their way; alike in all ranks
};

// On GPUs, one per rank; collectives run on a thread and a stream of their own. Views are on `device`; so are
// the streams. A second communicator, for what must not wait for or mix with the first, is another call with
// another prefix, from all ranks in the same order.
//
// After an error NCCL is told to give up, so that no stream waits for ever, and what was under way is
// undefined: results count only when wait() has not thrown after the host has waited for them. Neither calls
// nor wait() can be recorded (rt/core/graph.h).
//
// NCCL 2.18 or newer is looked up while running: libnccl.so.2, or what RT_NCCL_LIBRARY names. Exit::Config
// when it is not there, too old, or not the same in all ranks; Exit::Peer when not all can be reached.
std::unique_ptr<Communicator> nccl_communicator(Store& store, int rank, int size, Device device,
                                                const NcclOptions& options = {});

// "2.28.9": of the library that would be used. Exit::Config when there is none.
std::string nccl_version();

}  // namespace rt::dist
