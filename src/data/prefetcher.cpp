#include "rt/data/prefetcher.h"

#include <chrono>
#include <utility>

#include "rt/core/error.h"

namespace rt::data {

Prefetcher::Prefetcher(const Loader& loader, std::uint64_t first_step, int rank, int ranks, std::size_t depth)
    : loader_(&loader), rank_(rank), ranks_(ranks), depth_(depth), step_(first_step), micro_(rank) {
  RT_CHECK(depth > 0 && rank >= 0 && rank < ranks && rank < loader.micro_batches(),
           "prefetcher: rank {} of {}, {} micro-batches, depth {}", rank, ranks, loader.micro_batches(),
           depth);
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
      micro_ += ranks_;
      if (micro_ >= loader_->micro_batches()) {
        micro_ = rank_;
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
    micro_ = rank_;
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
