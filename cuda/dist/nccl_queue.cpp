#include "cuda/dist/nccl_queue.h"

#include <utility>

#include "rt/core/thread_signals.h"

namespace rt::dist::nccl {

constexpr Milliseconds kLook(100), kPoll(1);
constexpr const char* kAdvice = "See the rank that failed first; NCCL_DEBUG=INFO says more.";

Queue::Queue(Store& store, int rank, int size, Device device, const NcclOptions& options)
    : rank_(rank), size_(size), device_(device), timeout_(options.timeout), close_(options.close) {
  thread_ = std::thread([&] { run(store, options); });
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return connected_ || not_connected_; });
  }
  if (not_connected_) {
    thread_.join();
    std::rethrow_exception(not_connected_);
  }
  watch_ = std::thread([this] { watch(); });
}

Queue::~Queue() {
  bool ended = false;
  {
    std::unique_lock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
    const auto deadline = Clock::now() + close_;
    const auto all_done = [&] { return error_ || (begun_ == taken_ && is_done(begun_)); };
    try {
      while (!(ended = all_done()) && Clock::now() < deadline) changed_.wait_for(lock, kPoll);
    } catch (const Error&) {  // of the device: nothing will be done
    }
  }
  if (!ended) abort();
  thread_.join();
  {
    const std::lock_guard lock(mutex_);
    stop_watching_ = true;
  }
  watching_.notify_all();
  watch_.join();
}

std::uint64_t Queue::give(const char* call, std::size_t bytes, const Stream* stream, Work work) {
  std::optional<Event> before;
  if (stream) before.emplace(stream->record());
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    throw_if_lost();
    number = ++given_;
    ops_.push_back({call, number, bytes, std::move(work), std::move(before), {}, {}});
  }
  changed_.notify_all();
  return number;
}

void Queue::wait(std::uint64_t number, const Stream& stream) {
  std::unique_lock lock(mutex_);
  await_begun(lock, number);
  if (!is_done(number)) stream.wait(*ops_[number - ops_.front().number].done);
}

void Queue::finish(std::uint64_t number) {
  std::unique_lock lock(mutex_);
  await_begun(lock, number);
  while (!is_done(number)) {
    changed_.wait_for(lock, kPoll);
    throw_if_lost();
  }
}

void Queue::abort() noexcept {
  std::optional<Error> given_up;
  {
    const std::lock_guard lock(mutex_);
    given_up.emplace(about_oldest("it was given up"));
  }
  lose(*given_up);
}

// What it is given lives until it has returned, and no longer.
bool Queue::connect(Store& store, const NcclOptions& options) {
  std::exception_ptr error;
  try {
    stream_.emplace(device_);
    connection_.emplace(store, options.prefix, rank_, size_, options.connect, options.close);
  } catch (...) { error = std::current_exception(); }
  {
    const std::lock_guard lock(mutex_);
    connected_ = !error;
    not_connected_ = error;
  }
  changed_.notify_all();
  return !error;
}

void Queue::run(Store& store, const NcclOptions& options) {
  leave_signals_to_others();  // nor do threads take them that NCCL starts from here
  if (!connect(store, options)) return;
  while (Op* const op = next()) {
    try {
      if (op->before) stream_->wait(*op->before);
      op->work(*connection_, *stream_);
      Event done = stream_->record();
      const std::lock_guard lock(mutex_);
      op->done.emplace(std::move(done));
      op->work = nullptr;
      ++begun_;
    } catch (const Error& e) {
      return lose(e.code() == Exit::Peer ? about(*op, format("{}. {}", e.what(), kAdvice)) : e);
    }
    changed_.notify_all();
  }
}

// Stays where it is: the oldest is removed only when it is done.
Queue::Op* Queue::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stop_ || error_ || taken_ < given_; });
  if (stop_ || error_) return nullptr;
  ++taken_;
  return &ops_[taken_ - ops_.front().number];
}

void Queue::watch() {
  leave_signals_to_others();
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (watching_.wait_for(lock, kLook, [this] { return stop_watching_ || error_; })) return;
    }
    try {
      look();
    } catch (const Error& e) { return lose(e); }
  }
}

void Queue::look() {
  const std::string problem = connection_->problem();
  const std::lock_guard lock(mutex_);
  while (!ops_.empty() && ops_.front().done && ops_.front().done->done()) ops_.pop_front();
  if (!problem.empty()) throw about_oldest(format("{}. {}", problem, kAdvice));
  if (ops_.empty()) return;
  Op& oldest = ops_.front();
  const auto now = Clock::now();
  if (!oldest.began && (!oldest.before || oldest.before->done())) oldest.began = now;
  if (oldest.began && now - *oldest.began > timeout_) {
    throw about(oldest, format("it was not done after {} ms: a peer is lost, or does something else. {}",
                               timeout_.count(), kAdvice));
  }
}

// First the words, then the end: whoever sees a stream end because of it finds out why.
void Queue::lose(const Error& error) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!error_) error_.emplace(error);
  }
  changed_.notify_all();
  watching_.notify_all();
  connection_->abort();
}

void Queue::throw_if_lost() const {
  if (error_) throw Error(*error_);
}

void Queue::await_begun(std::unique_lock<std::mutex>& lock, std::uint64_t number) {
  RT_CHECK(number >= 1 && number <= given_, "wait: ticket {} of {}", number, given_);
  changed_.wait(lock, [&] { return error_ || begun_ >= number; });
  throw_if_lost();
}

bool Queue::is_done(std::uint64_t number) {
  if (ops_.empty() || number < ops_.front().number) return true;
  return ops_[number - ops_.front().number].done->done();
}

Error Queue::about(const Op& op, const std::string& what) const {
  return {Exit::Peer, format("rank {}: {} number {} of {} bytes among {} processes failed: {}", rank_,
                             op.call, op.number, op.bytes, size_, what)};
}

Error Queue::about_oldest(const std::string& what) const {
  if (!ops_.empty()) return about(ops_.front(), what);
  return {Exit::Peer, format("rank {}: NCCL among {} processes failed: {}", rank_, size_, what)};
}

}  // namespace rt::dist::nccl
