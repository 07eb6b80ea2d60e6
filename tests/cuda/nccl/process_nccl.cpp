// A library with NCCL's interface, whose ranks are processes of one machine and whose memory is the host's:
// what is emulated of several GPUs (cuda/emulation) trains over it. A group is done when it ends, as streams
// of the emulation have done what they were given. Of sums it has none: they are asked for only where their
// order is left to NCCL.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "cuda/dist/nccl_api.h"
#include "tests/cuda/nccl/data_size.h"

namespace {
using rt::dist::nccl::Config;
using rt::dist::nccl::DataType;
using rt::dist::nccl::RedOp;
using rt::dist::nccl::Result;
using rt::dist::nccl::UniqueId;

constexpr int kTries = 6000;  // 10 ms each

struct Span {
  char* at;
  std::size_t left;
};

// One rank's end of the connection to another; to itself, there is none.
struct Peer {
  int socket = -1;
  std::deque<Span> out, in;
};

sockaddr_un address(const UniqueId& id, int rank, socklen_t& length) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  const std::string name = std::string(id.bytes, strnlen(id.bytes, 64)) + "/" + std::to_string(rank);
  std::memcpy(a.sun_path + 1, name.data(), name.size());  // abstract: gone with the last who has it open
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return a;
}

// Both say who they are, so that a connection is a rank's.
int connect_to(const UniqueId& id, int rank, int me) {
  socklen_t length = 0;
  const sockaddr_un to = address(id, rank, length);
  for (int i = 0; i < kTries; ++i) {
    const int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(s, reinterpret_cast<const sockaddr*>(&to), length) == 0 &&
        send(s, &me, sizeof(me), MSG_NOSIGNAL) == sizeof(me))
      return s;
    close(s);
    usleep(10'000);
  }
  return -1;
}

}  // namespace

namespace rt::testing {

struct Comm {
  int rank, size;
  std::vector<Peer> peers;
  std::atomic<bool> given_up{false};

  Comm(int of, int among) : rank(of), size(among), peers(static_cast<std::size_t>(among)) {}
  ~Comm() {
    for (const Peer& p : peers)
      if (p.socket >= 0) close(p.socket);
  }

  bool reach(const UniqueId& id) {
    socklen_t length = 0;
    const sockaddr_un own = address(id, rank, length);
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, reinterpret_cast<const sockaddr*>(&own), length) != 0 || listen(listener, size) != 0)
      return false;
    for (int r = 0; r < rank; ++r) peers[static_cast<std::size_t>(r)].socket = connect_to(id, r, rank);
    for (int n = rank + 1; n < size; ++n) {
      pollfd wait{listener, POLLIN, 0};
      if (poll(&wait, 1, kTries * 10) != 1) return false;
      const int s = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      int who = -1;
      if (recv(s, &who, sizeof(who), MSG_WAITALL) != sizeof(who) || who <= rank || who >= size) return false;
      peers[static_cast<std::size_t>(who)].socket = s;
    }
    close(listener);
    for (int r = 0; r < size; ++r)
      if (r != rank && peers[static_cast<std::size_t>(r)].socket < 0) return false;
    return true;
  }

  void send_to(int peer, const void* from, std::size_t bytes) {
    peers[static_cast<std::size_t>(peer)].out.push_back({static_cast<char*>(const_cast<void*>(from)), bytes});
  }
  void receive_from(int peer, void* to, std::size_t bytes) {
    peers[static_cast<std::size_t>(peer)].in.push_back({static_cast<char*>(to), bytes});
  }

  // All that was asked for, in both directions at once. False: a peer is gone, or this was given up.
  bool transfer() {
    Peer& self = peers[static_cast<std::size_t>(rank)];
    for (; !self.in.empty() && !self.out.empty(); self.in.pop_front(), self.out.pop_front())
      std::memmove(self.in.front().at, self.out.front().at, self.in.front().left);
    for (;;) {
      std::vector<pollfd> waits;
      for (Peer& p : peers) {
        while (!p.out.empty() && p.out.front().left == 0) p.out.pop_front();
        while (!p.in.empty() && p.in.front().left == 0) p.in.pop_front();
        const int events = (p.out.empty() ? 0 : POLLOUT) | (p.in.empty() ? 0 : POLLIN);
        if (events != 0) waits.push_back({p.socket, static_cast<short>(events), 0});
      }
      if (waits.empty()) return true;
      if (given_up || poll(waits.data(), waits.size(), 100) < 0) return false;
      for (Peer& p : peers)
        if (!move(p)) return false;
    }
  }

 private:
  static bool move(Peer& p) {
    constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
    if (!p.out.empty() && !went(send(p.socket, p.out.front().at, p.out.front().left, kFlags), p.out.front()))
      return false;
    return p.in.empty() ||
           went(recv(p.socket, p.in.front().at, p.in.front().left, kFlags), p.in.front(), true);
  }
  static bool went(ssize_t n, Span& span, bool ends = false) {
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (n == 0 && ends) return false;
    span.at += n;
    span.left -= static_cast<std::size_t>(n);
    return true;
  }
};

}  // namespace rt::testing

namespace {
using rt::testing::Comm;
using rt::testing::size_of;

struct Group {
  int depth = 0;
  Comm* comm = nullptr;  // one in a group
};
thread_local Group group;

Result added(Comm* comm) {
  group.comm = comm;
  return group.depth > 0 ? Result::Success : Result::InvalidArgument;
}

}  // namespace

extern "C" {
#define LIB __attribute__((visibility("default")))

LIB Result ncclGetVersion(int* version) {
  *version = 22809;
  return Result::Success;
}

LIB Result ncclGetUniqueId(UniqueId* id) {
  static std::atomic<int> made{0};
  std::memset(id->bytes, 0, sizeof(id->bytes));
  const std::string text = "rt-nccl-" + std::to_string(getpid()) + "-" + std::to_string(++made);
  std::memcpy(id->bytes, text.data(), text.size());
  return Result::Success;
}

LIB const char* ncclGetErrorString(Result) { return "remote process exited or there was a network error"; }
LIB const char* ncclGetLastError(Comm*) { return ""; }

LIB Result ncclCommInitRankConfig(Comm** comm, int size, UniqueId id, int rank, Config*) {
  *comm = new Comm(rank, size);
  return (*comm)->reach(id) ? Result::Success : Result::RemoteError;
}
LIB Result ncclCommGetAsyncError(Comm*, Result* error) {
  *error = Result::Success;
  return Result::Success;
}
LIB Result ncclCommFinalize(Comm*) { return Result::Success; }
LIB Result ncclCommDestroy(Comm* comm) {
  delete comm;
  return Result::Success;
}
LIB Result ncclCommAbort(Comm* comm) {
  comm->given_up = true;  // and kept: another thread may be in it
  return Result::Success;
}

LIB Result ncclAllReduce(const void*, void*, std::size_t, DataType, RedOp, Comm*, void*) {
  return Result::InvalidArgument;
}
LIB Result ncclReduceScatter(const void*, void*, std::size_t, DataType, RedOp, Comm*, void*) {
  return Result::InvalidArgument;
}
LIB Result ncclAllGather(const void* in, void* out, std::size_t count, DataType type, Comm* comm, void*) {
  const std::size_t bytes = count * size_of(type);
  for (int r = 0; r < comm->size; ++r) {
    comm->send_to(r, in, bytes);
    comm->receive_from(r, static_cast<char*>(out) + static_cast<std::size_t>(r) * bytes, bytes);
  }
  return added(comm);
}
LIB Result ncclBroadcast(const void* in, void* out, std::size_t count, DataType type, int root, Comm* comm,
                         void*) {
  if (comm->rank == root)
    for (int r = 0; r < comm->size; ++r) comm->send_to(r, in, count * size_of(type));
  comm->receive_from(root, out, count * size_of(type));
  return added(comm);
}
LIB Result ncclSend(const void* from, std::size_t count, DataType type, int peer, Comm* comm, void*) {
  comm->send_to(peer, from, count * size_of(type));
  return added(comm);
}
LIB Result ncclRecv(void* to, std::size_t count, DataType type, int peer, Comm* comm, void*) {
  comm->receive_from(peer, to, count * size_of(type));
  return added(comm);
}
LIB Result ncclGroupStart() {
  ++group.depth;
  return Result::Success;
}
LIB Result ncclGroupEnd() {
  if (--group.depth > 0) return Result::Success;
  Comm* const comm = std::exchange(group.comm, nullptr);
  return !comm || comm->transfer() ? Result::Success : Result::RemoteError;
}
}
