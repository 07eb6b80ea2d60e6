#include "data/block_pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace rt::data {
namespace {

constexpr std::size_t kBytesAhead = std::size_t{32} << 20;  // or a block per job; as ids four times that
constexpr std::size_t kLargestKept = std::size_t{2} << 20;  // buffers beyond are not used again
constexpr std::size_t kJobsPerThread = 3;

struct Job {
  Block block;
  Encoded encoded;
  std::exception_ptr error;
  bool done = false;
};

class Pipeline {
 public:
  Pipeline(BlockReader& reader, std::size_t block_bytes, std::size_t threads)
      : reader_(reader),
        most_jobs_(kJobsPerThread * (threads + 1)),
        most_bytes_(std::max(kBytesAhead, most_jobs_ * block_bytes)),
        workers_(threads) {}

  ~Pipeline() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    space_.notify_all();
    work_.notify_all();
    if (reading_.joinable()) reading_.join();
    for (std::thread& worker : workers_)
      if (worker.joinable()) worker.join();
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  void run(const PrepareOptions& options, const Tokenizer* tokenizer,
           const std::function<void(const Block&, Encoded&)>& consume) {
    reading_ = std::thread([this] { read(); });
    for (std::thread& worker : workers_) {
      worker = std::thread([this, &options, tokenizer] { encode(BlockEncoder(options, tokenizer)); });
    }
    while (std::unique_ptr<Job> job = next_done()) {
      if (job->error) std::rethrow_exception(job->error);
      consume(job->block, job->encoded);
      retire(std::move(job));
    }
  }

 private:
  void read() {
    for (bool more = true; more;) {
      std::unique_ptr<Job> job = spare();
      try {
        more = reader_.next(job->block);
      } catch (...) {
        job->error = std::current_exception();
        more = false;
      }
      std::unique_lock lock(mutex_);
      if (more || job->error) {
        space_.wait(lock, [&] {
          return stopped_ || ahead_ == 0 ||
                 (ahead_ < most_jobs_ && bytes_ahead_ + job->block.size <= most_bytes_);
        });
        ++ahead_;
        bytes_ahead_ += job->block.size;
        job->done = job->error != nullptr;
        if (!job->done) todo_.push_back(job.get());
        order_.push_back(std::move(job));
      }
      more = more && !stopped_;
      all_read_ = !more;
      lock.unlock();
      if (more) {
        work_.notify_one();
      } else {
        work_.notify_all();
        done_.notify_one();
      }
    }
  }

  void encode(BlockEncoder encoder) {
    for (std::unique_lock lock(mutex_);;) {
      work_.wait(lock, [&] { return stopped_ || all_read_ || !todo_.empty(); });
      if (stopped_ || todo_.empty()) return;
      Job* job = todo_.front();
      todo_.pop_front();
      lock.unlock();
      try {
        encoder.encode(job->block, job->encoded);
      } catch (...) { job->error = std::current_exception(); }
      lock.lock();
      job->done = true;
      if (job == order_.front().get()) done_.notify_one();
    }
  }

  std::unique_ptr<Job> next_done() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return order_.empty() ? all_read_ : order_.front()->done; });
    if (order_.empty()) return nullptr;
    std::unique_ptr<Job> job = std::move(order_.front());
    order_.pop_front();
    return job;
  }

  void retire(std::unique_ptr<Job> job) {
    const std::size_t bytes = job->block.size;
    job->done = false;
    const bool large = job->block.buffer.capacity() > kLargestKept ||
                       job->encoded.ids.capacity() > kLargestKept ||
                       job->encoded.text.capacity() > kLargestKept;
    if (large) job = std::make_unique<Job>();
    {
      const std::lock_guard lock(mutex_);
      --ahead_;
      bytes_ahead_ -= bytes;
      spare_.push_back(std::move(job));
    }
    space_.notify_one();
  }

  std::unique_ptr<Job> spare() {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) return std::make_unique<Job>();
    std::unique_ptr<Job> job = std::move(spare_.back());
    spare_.pop_back();
    return job;
  }

  BlockReader& reader_;
  const std::size_t most_jobs_, most_bytes_;
  std::mutex mutex_;
  std::condition_variable space_, work_, done_;
  std::deque<Job*> todo_;                   // to be encoded
  std::deque<std::unique_ptr<Job>> order_;  // to be consumed
  std::vector<std::unique_ptr<Job>> spare_;
  std::size_t ahead_ = 0, bytes_ahead_ = 0;  // read and not yet consumed
  bool stopped_ = false, all_read_ = false;
  std::thread reading_;
  std::vector<std::thread> workers_;
};

}  // namespace

void run_pipeline(BlockReader& reader, const PrepareOptions& options, const Tokenizer* tokenizer, int threads,
                  const std::function<void(const Block&, Encoded&)>& consume) {
  Pipeline(reader, options.block_bytes, static_cast<std::size_t>(std::max(threads, 1)))
      .run(options, tokenizer, consume);
}

}  // namespace rt::data
