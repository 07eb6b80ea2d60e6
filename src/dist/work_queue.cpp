#include "dist/work_queue.h"

#include "rt/core/thread_signals.h"

namespace rt::dist {

WorkQueue::~WorkQueue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::uint64_t WorkQueue::give(std::function<void()> work) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    waiting_.push_back(std::move(work));
    number = ++given_;
  }
  changed_.notify_all();
  return number;
}

void WorkQueue::wait(std::uint64_t number) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ >= number || error_; });
  if (done_ < number) std::rethrow_exception(error_);
}

void WorkQueue::run() {
  leave_signals_to_others();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      work();
    } catch (...) { error = std::current_exception(); }
    lock.lock();
    if (error) {
      error_ = error;
      waiting_.clear();
    } else {
      ++done_;
    }
    changed_.notify_all();
    if (error) return;
  }
}

}  // namespace rt::dist
