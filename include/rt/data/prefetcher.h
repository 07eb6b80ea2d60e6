#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "rt/data/loader.h"

namespace rt::data {

// Makes the batches of one rank ahead of time on a thread of its own: for each step, micro-batches rank,
// rank + ranks, ..., the same as direct calls of Loader::at. The loader must outlive it.
class Prefetcher {
 public:
  Prefetcher(const Loader& loader, std::uint64_t first_step, int rank, int ranks, std::size_t depth = 4);
  Prefetcher(const Loader& loader, std::uint64_t first_step, std::size_t depth = 4)
      : Prefetcher(loader, first_step, 0, 1, depth) {}
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  Batch next();                   // rethrows what the loader threw
  void seek(std::uint64_t step);  // next() continues with the first micro-batch of `step`
  void recycle(Batch&& batch);    // optional: hands memory back for reuse
  double wait_seconds() const;    // time next() has spent waiting since construction

 private:
  void work();
  const Loader* loader_;
  const int rank_, ranks_;
  const std::size_t depth_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_, spare_;
  std::uint64_t step_;  // the next batch to make
  int micro_;
  std::uint64_t generation_ = 0;  // counts seeks: a batch begun before one is dropped
  bool stop_ = false;
  std::exception_ptr error_;
  double waited_ = 0.0;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rt::data
