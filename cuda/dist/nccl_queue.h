#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "cuda/dist/nccl_connection.h"
#include "rt/core/error.h"
#include "rt/core/stream.h"
#include "rt/dist/nccl.h"

namespace rt::dist::nccl {

// Collectives in order, on a thread and a stream of their own: the thread, because the first calls of NCCL's
// wait for the peers; the stream, so that they run beside what the caller computes. Another thread watches
// them.
class Queue {
 public:
  // What one collective does; called by the queue's thread, which has the device current.
  using Work = std::function<void(Connection&, const Stream&)>;

  Queue(Store& store, int rank, int size, Device device, const NcclOptions& options);
  ~Queue();  // what has begun ends first, if it does within `close`; the rest is dropped
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Its number; counts from 1. It begins after what `stream` holds now, if there is one.
  std::uint64_t give(const char* call, std::size_t bytes, const Stream* stream, Work work);
  void wait(std::uint64_t number, const Stream& stream);  // `stream` waits; the host only until it has begun
  void finish(std::uint64_t number);                      // the host waits
  void abort() noexcept;                                  // from any thread

 private:
  using Clock = std::chrono::steady_clock;
  struct Op {
    const char* call;
    std::uint64_t number;
    std::size_t bytes;
    Work work;
    std::optional<Event> before, done;
    std::optional<Clock::time_point> began;  // nothing but the peers kept it from being done since
  };

  void run(Store& store, const NcclOptions& options);
  bool connect(Store& store, const NcclOptions& options);
  Op* next();
  void watch();
  void look();  // once
  void lose(const Error& error) noexcept;
  void throw_if_lost() const;
  void await_begun(std::unique_lock<std::mutex>& lock, std::uint64_t number);
  bool is_done(std::uint64_t number);
  Error about(const Op& op, const std::string& what) const;
  Error about_oldest(const std::string& what) const;

  const int rank_, size_;
  const Device device_;
  const Milliseconds timeout_, close_;
  std::optional<Stream> stream_;
  std::optional<Connection> connection_;

  std::mutex mutex_;  // of all below
  std::condition_variable changed_, watching_;
  std::deque<Op> ops_;  // from the oldest that is not known to be done to the newest
  std::uint64_t given_ = 0, taken_ = 0, begun_ = 0;
  std::optional<Error> error_;
  bool connected_ = false, stop_ = false, stop_watching_ = false;
  std::exception_ptr not_connected_;
  std::thread thread_, watch_;
};

}  // namespace rt::dist::nccl
