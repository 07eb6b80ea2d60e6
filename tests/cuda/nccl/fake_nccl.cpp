#include "tests/cuda/nccl/fake_nccl.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "cuda/dist/nccl_api.h"
#include "tests/cuda/nccl/fake_clique.h"

namespace rt::testing {
namespace {

using dist::nccl::Config;
using dist::nccl::DataType;
using dist::nccl::NativeStream;
using dist::nccl::RedOp;
using dist::nccl::Result;
using dist::nccl::UniqueId;

using Clock = std::chrono::steady_clock;

}  // namespace

struct Comm {
  Comm(std::shared_ptr<Clique> all, int of) : clique(std::move(all)), rank(of), faulty(of == 0) {}
  std::shared_ptr<Clique> clique;
  int rank;
  bool faulty;
  std::mutex mutex;  // of what follows: two threads may ask
  Result state = Result::InProgress;
  int polls = 0;  // until what was begun is under way
  std::shared_ptr<std::atomic<bool>> aborted = std::make_shared<std::atomic<bool>>(false);
  std::vector<std::function<void()>> begun;  // not on a stream so far
  std::uint64_t groups = 0, collectives = 0;
  bool initialised = false, finalized = false;
  std::optional<Clock::time_point> lost_at;  // from then on a peer is known to be lost
};

namespace {

class Library final : public FakeNccl {
 public:
  void reset() override {
    const std::lock_guard lock(mutex_);
    calls_.clear();
    mistakes_.clear();
    version = 22809;
    fault = NcclFault::None;
    fault_after = 0;
    ++generation_;
    changed_.notify_all();
  }
  std::vector<NcclCall> calls() const override {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::vector<std::string> mistakes() const override {
    const std::lock_guard lock(mutex_);
    return mistakes_;
  }
  void record(NcclCall call) {
    call.device = device ? device() : -1;
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
  }
  void mistake(const std::string& what) {
    const std::lock_guard lock(mutex_);
    mistakes_.push_back(what);
  }
  void hang() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, now = generation_] { return generation_ != now; });
  }
  std::shared_ptr<Clique> clique(const UniqueId& id, int size) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Clique>& found = cliques_[std::string(id.bytes, sizeof(id.bytes))];
    if (!found) found = std::make_shared<Clique>(size, [this](const std::string& what) { mistake(what); });
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<NcclCall> calls_;
  std::vector<std::string> mistakes_;
  std::map<std::string, std::shared_ptr<Clique>> cliques_;
  int generation_ = 0;
};

Library& library() {
  static auto* const all = new Library;
  return *all;
}

// What a thread has called since its group began.
struct Group {
  int depth = 0;
  std::vector<std::pair<Comm*, Piece>> pieces;
};
thread_local Group group;

bool is_due(const Comm& comm, NcclFault fault) {
  return comm.faulty && library().fault == fault &&
         comm.groups > static_cast<std::uint64_t>(library().fault_after);
}

// What the comm does in one group: collectives one after the other, sends and receives at once.
void begin(Comm& comm, std::vector<Piece> pieces) {
  const std::lock_guard lock(comm.mutex);
  ++comm.groups;
  const bool hangs = is_due(comm, NcclFault::Hangs) || is_due(comm, NcclFault::RemoteError);
  for (Piece& piece : pieces)
    if (piece.peer < 0 || piece.kind == Kind::Broadcast) piece.number = ++comm.collectives;
  void* const stream = pieces.front().stream;
  comm.state = Result::InProgress;
  comm.polls = 3;
  comm.begun.push_back([=, clique = comm.clique, rank = comm.rank, aborted = comm.aborted] {
    library().submit(stream, [=] {
      if (hangs) clique->wait_for_abort(*aborted);
      clique->run(rank, pieces, *aborted);
    });
  });
}

[[maybe_unused]] Result end_group() {
  std::map<Comm*, std::vector<Piece>> of_comm;
  for (auto& [comm, piece] : group.pieces) of_comm[comm].push_back(piece);
  group.pieces.clear();
  for (auto& [comm, pieces] : of_comm) begin(*comm, std::move(pieces));
  return of_comm.empty() ? Result::Success : Result::InProgress;
}

Result give(const char* name, Comm* comm, Piece piece, DataType type, int op = -1) {
  library().record({name, comm->rank, piece.count, static_cast<int>(type), op, piece.peer, piece.stream});
  piece.name = name;
  piece.type = type;
  piece.max = op == static_cast<int>(RedOp::Max);
  const std::lock_guard lock(comm->mutex);
  if (!comm->initialised || comm->state != Result::Success) {
    library().mistake(std::string(name) + " before the communicator was ready");
    return Result::InvalidArgument;
  }
  const bool fails = comm->faulty && library().fault == NcclFault::CallFails &&
                     comm->groups >= static_cast<std::uint64_t>(library().fault_after);
  if (fails) return Result::InternalError;
  if (group.depth == 0) library().mistake(std::string(name) + " outside of a group");
  group.pieces.emplace_back(comm, std::move(piece));
  return Result::Success;
}

Result poll(Comm& comm) {
  const std::lock_guard lock(comm.mutex);
  if (comm.lost_at && Clock::now() >= *comm.lost_at) return Result::RemoteError;
  if (comm.state != Result::InProgress) return comm.state;
  if (!comm.initialised) {
    if (comm.faulty && library().fault == NcclFault::InitNeverEnds) return Result::InProgress;
    if (comm.faulty && library().fault == NcclFault::InitFails) return Result::RemoteError;
    if (!comm.clique->complete()) return Result::InProgress;
    comm.initialised = true;
    comm.state = Result::Success;
    return Result::Success;
  }
  if (comm.finalized && comm.faulty && library().fault == NcclFault::FinalizeHangs) return Result::InProgress;
  if (is_due(comm, NcclFault::NeverBegins) || --comm.polls > 0) return Result::InProgress;
  for (const auto& work : std::exchange(comm.begun, {})) work();
  if (is_due(comm, NcclFault::RemoteError)) comm.lost_at = Clock::now() + std::chrono::milliseconds(50);
  comm.state = Result::Success;
  return comm.state;
}

}  // namespace
}  // namespace rt::testing

extern "C" {
using namespace rt::testing;
#define FAKE __attribute__((visibility("default")))

FAKE FakeNccl* fake_nccl() { return &library(); }

FAKE Result ncclGetVersion(int* version) {
  *version = library().version;
  return Result::Success;
}

FAKE Result ncclGetUniqueId(UniqueId* id) {
  static std::atomic<int> made{0};
  std::memset(id->bytes, 0, sizeof(id->bytes));
  const std::string text = std::to_string(++made);
  std::memcpy(id->bytes + 64, text.data(), text.size());
  library().record({"ncclGetUniqueId"});
  return Result::Success;
}

FAKE const char* ncclGetErrorString(Result result) {
  switch (result) {
    case Result::RemoteError: return "remote process exited or there was a network error";
    case Result::InternalError: return "internal error";
    default: return "other error";
  }
}

FAKE const char* ncclGetLastError(Comm*) { return "socket 7 closed\nsecond line"; }

FAKE Result ncclCommInitRankConfig(Comm** comm, int size, UniqueId id, int rank, Config* config) {
  library().record({.name = "ncclCommInitRankConfig", .rank = rank});
  if (config->size != sizeof(Config) || config->magic != 0xcafebeef || config->version != 21800 ||
      config->blocking)
    library().mistake("a config that is none");
  *comm = new Comm(library().clique(id, size), rank);
  (*comm)->clique->join(rank);
  return Result::InProgress;
}

FAKE Result ncclCommGetAsyncError(Comm* comm, Result* error) {
  *error = poll(*comm);
  return Result::Success;
}

FAKE Result ncclCommFinalize(Comm* comm) {
  library().record({.name = "ncclCommFinalize", .rank = comm->rank});
  const std::lock_guard lock(comm->mutex);
  if (comm->state != Result::Success)
    library().mistake("ncclCommFinalize of a communicator that is not ready");
  comm->polls = 3;
  comm->finalized = true;
  comm->state = Result::InProgress;
  return Result::InProgress;
}

FAKE Result ncclCommDestroy(Comm* comm) {
  library().record({.name = "ncclCommDestroy", .rank = comm->rank});
  if (!comm->finalized || comm->state != Result::Success) library().mistake("ncclCommDestroy too early");
  delete comm;
  return Result::Success;
}

FAKE Result ncclCommAbort(Comm* comm) {
  library().record({.name = "ncclCommAbort", .rank = comm->rank});
  if (comm->faulty && library().fault == NcclFault::AbortHangs) library().hang();
  comm->clique->abort(*comm->aborted);
  delete comm;
  return Result::Success;
}

FAKE Result ncclAllReduce(const void* in, void* out, std::size_t count, DataType type, RedOp op, Comm* comm,
                          void* stream) {
  return give("ncclAllReduce", comm, {Kind::AllReduce, in, out, count, stream}, type, static_cast<int>(op));
}
FAKE Result ncclReduceScatter(const void* in, void* out, std::size_t count, DataType type, RedOp op,
                              Comm* comm, void* stream) {
  return give("ncclReduceScatter", comm, {Kind::ReduceScatter, in, out, count, stream}, type,
              static_cast<int>(op));
}
FAKE Result ncclAllGather(const void* in, void* out, std::size_t count, DataType type, Comm* comm,
                          void* stream) {
  return give("ncclAllGather", comm, {Kind::AllGather, in, out, count, stream}, type);
}
FAKE Result ncclBroadcast(const void* in, void* out, std::size_t count, DataType type, int root, Comm* comm,
                          void* stream) {
  return give("ncclBroadcast", comm, {Kind::Broadcast, in, out, count, stream, root}, type);
}
FAKE Result ncclSend(const void* from, std::size_t count, DataType type, int peer, Comm* comm, void* stream) {
  return give("ncclSend", comm, {Kind::Send, from, nullptr, count, stream, peer}, type);
}
FAKE Result ncclRecv(void* to, std::size_t count, DataType type, int peer, Comm* comm, void* stream) {
  return give("ncclRecv", comm, {Kind::Recv, nullptr, to, count, stream, peer}, type);
}
FAKE Result ncclGroupStart() {
  library().record({"ncclGroupStart"});
  ++group.depth;
  return Result::Success;
}
#ifndef FAKE_NCCL_INCOMPLETE
FAKE Result ncclGroupEnd() {
  library().record({"ncclGroupEnd"});
  return --group.depth > 0 ? Result::Success : end_group();
}
#endif
}
