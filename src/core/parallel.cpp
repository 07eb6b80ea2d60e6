#include "rt/core/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "rt/core/error.h"
#include "rt/core/thread_signals.h"

namespace rt {
namespace {

// How long an idle worker polls before it sleeps: ops of small models follow each other within microseconds,
// and a sleeper may wake on the caller's own core. First with the core to itself, then offering it to others.
constexpr int kSpins = 2000;
constexpr int kYields = 4000;
thread_local bool inside_parallel = false;

int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

int default_threads() {
  if (const char* text = std::getenv("RT_NUM_THREADS")) {
    const int n = std::atoi(text);
    if (n > 0) return n;
  }
  return available_cores();
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// A woken thread can be queued behind the caller that woke it while another core idles, and stay there for
// the whole run. Moves the calling thread off `cpu`, without restricting where it may go later.
void leave_cpu(int cpu) {
  if (sched_getcpu() != cpu) return;
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<unsigned>(cpu), &others);
  if (CPU_COUNT(&others) == 0) return;
  sched_setaffinity(0, sizeof(others), &others);
  sched_setaffinity(0, sizeof(allowed), &allowed);
}

class Pool {
 public:
  explicit Pool(int threads) {
    // Polling steals the core from whoever has work when there are more threads than cores.
    spins_ = threads <= available_cores() ? kSpins : 0;
    yields_ = spins_ > 0 ? kYields : 0;
    caller_cpu_ = sched_getcpu();
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }
  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  void run(std::int64_t n, std::int64_t grain, void* body, detail::RangeFn call) {
    const std::lock_guard one_at_a_time(run_mutex_);
    n_ = n;
    grain_ = grain;
    body_ = body;
    call_ = call;
    error_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    caller_cpu_.store(sched_getcpu(), std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load() > 0) wake_.notify_all();
    take_pieces();
    for (int i = 0; busy_.load(std::memory_order_acquire) > 0; ++i) {
      if (i < spins_) {
        relax();
      } else {
        std::this_thread::yield();
      }
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void take_pieces() {
    inside_parallel = true;
    for (;;) {
      const std::int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
      if (begin >= n_) break;
      try {
        call_(body_, begin, std::min(n_, begin + grain_));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        next_.store(n_, std::memory_order_relaxed);
      }
    }
    inside_parallel = false;
  }

  void work() {
    std::uint64_t seen = 0;
    leave_signals_to_others();
    if (yields_ > 0) leave_cpu(caller_cpu_);  // a thread starts where its creator runs
    for (;;) {
      for (int i = 0; i < spins_ && generation_.load(std::memory_order_acquire) == seen; ++i) relax();
      for (int i = 0; i < yields_ && generation_.load(std::memory_order_acquire) == seen; ++i) {
        std::this_thread::yield();
      }
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex_);
        sleeping_.fetch_add(1);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
        sleeping_.fetch_sub(1);
        lock.unlock();
        if (yields_ > 0) leave_cpu(caller_cpu_.load(std::memory_order_relaxed));
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      take_pieces();
      busy_.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  int spins_, yields_;
  std::atomic<int> caller_cpu_{-1};
  std::vector<std::thread> workers_;
  std::mutex run_mutex_, mutex_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> busy_{0};
  std::int64_t n_ = 0, grain_ = 1;
  void* body_ = nullptr;
  detail::RangeFn call_ = nullptr;
  std::exception_ptr error_;
  std::atomic<bool> stop_{false};
};

std::unique_ptr<Pool>& pool() {
  static std::unique_ptr<Pool> instance;
  return instance;
}
std::atomic<int> wanted_threads{0};

}  // namespace

void set_num_threads(int threads) {
  RT_CHECK(threads >= 1, "set_num_threads: {} is not a thread count", threads);
  wanted_threads = threads;
  pool().reset();
}

int num_threads() {
  if (wanted_threads == 0) wanted_threads = default_threads();
  return wanted_threads;
}

void detail::parallel_for(std::int64_t n, std::int64_t grain, void* body, RangeFn call) {
  if (n <= 0) return;
  RT_CHECK(grain >= 1, "parallel_for: grain {}", grain);
  if (inside_parallel || n <= grain || num_threads() == 1) {
    for (std::int64_t begin = 0; begin < n; begin += grain) call(body, begin, std::min(n, begin + grain));
    return;
  }
  static std::mutex creation;
  {
    const std::lock_guard lock(creation);
    if (!pool()) pool() = std::make_unique<Pool>(num_threads());
  }
  pool()->run(n, grain, body, call);
}

}  // namespace rt
