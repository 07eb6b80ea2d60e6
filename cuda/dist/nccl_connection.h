#pragma once
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "cuda/dist/nccl_api.h"
#include "rt/dist/store.h"

namespace rt::dist::nccl {

// A communicator of NCCL's that never blocks: calls return at once, and what they began is waited for here.
// Of one thread, but for state() and abort(). Errors are Exit::Peer with NCCL's words.
class Connection {
 public:
  // Reaches all ranks within `connect`. They get the id of rank 0 from the store, under `prefix`. The calling
  // thread has the rank's device current.
  Connection(Store& store, const std::string& prefix, int rank, int size, Milliseconds connect,
             Milliseconds close);
  ~Connection();  // ends it, for which NCCL is given `close`, and as much again to give up
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Any number of calls between begin() and end() start together, and are under way on their streams after
  // end(). A call is Result().
  void begin();
  template <class Call>
  void add(const Call& call) {
    check(guarded(call));
  }
  void end();
  const Api& api() const { return api_; }
  Comm comm() const { return comm_; }

  // From any thread. Empty: all is well, as far as NCCL knows.
  std::string problem();
  // From any thread: ends what is under way; all that is called later throws. Takes at most `close`.
  void abort() noexcept;

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  UniqueId agree(Store& store, const std::string& prefix, Milliseconds connect) const;
  void connect(const UniqueId& id, Milliseconds limit);
  void settle(Deadline deadline);  // until what was called has begun
  Result state();
  void check(Result result);
  std::string words(Result result);
  void finalize();

  // A call of NCCL's. abort() waits for those that are being made, as it frees what they use.
  template <class Call>
  Result guarded(const Call& call) {
    enter();
    const Result result = call();
    leave();
    return result;
  }
  void enter();
  void leave();

  Api api_;
  int rank_, size_;
  Milliseconds close_;
  Comm comm_ = nullptr;
  std::mutex mutex_;
  std::condition_variable left_;
  int inside_ = 0;  // threads that are in a call
  bool aborted_ = false;
};

}  // namespace rt::dist::nccl
