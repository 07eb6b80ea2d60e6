#pragma once
#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

// A library with NCCL's interface, whose ranks are threads of one process and whose memory is the host's. It
// is as strict as NCCL: a communicator that does not block is asked until it is ready, what a group has begun
// is on its stream only then, and what ranks do not do alike is a mistake.
namespace rt::testing {

struct NcclCall {
  std::string name;  // "ncclAllReduce"
  int rank = -1;     // of the communicator; -1: of none
  std::size_t count = 0;
  int type = -1, op = -1, peer = -1;  // peer: of a send or receive; the root of a broadcast
  const void* stream = nullptr;
  int device = -1;  // the calling thread's
};

enum class NcclFault {
  None,
  InitNeverEnds,
  InitFails,      // later: told when asked
  CallFails,      // at once
  NeverBegins,    // a peer is waited for before anything is on the stream
  Hangs,          // on the stream
  RemoteError,    // told when asked; on the stream it hangs
  AbortHangs,     // until reset()
  FinalizeHangs,  // never ready
};

class FakeNccl {
 public:
  virtual ~FakeNccl() = default;
  virtual void reset() = 0;                         // nothing recorded, no fault
  virtual std::vector<NcclCall> calls() const = 0;  // in the order of each rank
  virtual std::vector<std::string> mistakes() const = 0;

  // To be set before any communicator is made.
  std::function<void(void* stream, std::function<void()>)> submit;
  std::function<int()> device;
  std::atomic<int> version = 22809;
  std::atomic<NcclFault> fault = NcclFault::None;
  std::atomic<int> fault_after = 0;  // groups of rank 0, whose fault it is, that go well
};

}  // namespace rt::testing

extern "C" rt::testing::FakeNccl* fake_nccl();
