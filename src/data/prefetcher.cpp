#include "rt/data/prefetcher.h"

#include <chrono>
#include <utility>

#include "rt/core/error.h"

namespace rt::data {

Prefetcher::Prefetcher(const Loader& loader, std::uint64_t first_step, int micro_begin, int micro_end,
                       std::size_t depth)
    : loader_(&loader),
      micro_begin_(micro_begin),
      micro_end_(micro_end),
      depth_(depth),
      step_(first_step),
      micro_(micro_begin) {
  RT_CHECK(depth > 0 && micro_begin >= 0 && micro_begin < micro_end && micro_end <= loader.micro_batches(),
           "prefetcher: micro-batches [{}, {}) of {}, depth {}", micro_begin, micro_end,
           loader.micro_batches(), depth);
  thread_ = std::thread([this] { work(); });
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Prefetcher::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || (!error_ && ready_.size() < depth_); });
    if (stop_) return;
    const std::uint64_t step = step_, generation = generation_;
    const int micro = micro_;
    Batch batch;
    if (!spare_.empty()) {
      batch = std::move(spare_.back());
      spare_.pop_back();
    }
    lock.unlock();
    std::exception_ptr error;
    try {
      loader_->at(step, micro, batch);
    } catch (...) { error = std::current_exception(); }
    lock.lock();
    if (generation != generation_) continue;
    if (error) {
      error_ = error;
    } else {
      ready_.push_back(std::move(batch));
      if (++micro_ == micro_end_) {
        micro_ = micro_begin_;
        ++step_;
      }
    }
    changed_.notify_all();
  }
}

Batch Prefetcher::next() {
  std::unique_lock lock(mutex_);
  if (ready_.empty() && !error_) {
    const auto begin = std::chrono::steady_clock::now();
    changed_.wait(lock, [this] { return !ready_.empty() || error_; });
    waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  if (ready_.empty()) std::rethrow_exception(error_);
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void Prefetcher::seek(std::uint64_t step) {
  {
    const std::lock_guard lock(mutex_);
    ++generation_;
    step_ = step;
    micro_ = micro_begin_;
    ready_.clear();
    error_ = nullptr;
  }
  changed_.notify_all();
}

void Prefetcher::recycle(Batch&& batch) {
  const std::lock_guard lock(mutex_);
  if (spare_.size() < depth_) spare_.push_back(std::move(batch));
}

double Prefetcher::wait_seconds() const {
  const std::lock_guard lock(mutex_);
  return waited_;
}

}  // namespace rt::data
