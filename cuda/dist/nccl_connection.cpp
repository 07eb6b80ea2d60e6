#include "cuda/dist/nccl_connection.h"

#include <cstring>
#include <future>
#include <memory>
#include <thread>

#include "rt/core/error.h"
#include "rt/core/log.h"

namespace rt::dist::nccl {
namespace {

using Clock = std::chrono::steady_clock;

// Runs f, which may never return, on a thread of its own, that is left to itself after `limit`. Whether f has
// returned.
bool within(Clock::duration limit, std::function<void()> f) {
  const auto done = std::make_shared<std::promise<void>>();
  const std::future<void> returned = done->get_future();
  std::thread helper([f = std::move(f), done] {
    f();
    done->set_value();
  });
  const bool in_time = returned.wait_for(limit) == std::future_status::ready;
  in_time ? helper.join() : helper.detach();
  return in_time;
}

std::string first_line(const char* text) {
  const std::string_view all = text ? text : "";
  return std::string(all.substr(0, all.find('\n')));
}

}  // namespace

Connection::Connection(Store& store, const std::string& prefix, int rank, int size, Milliseconds limit,
                       Milliseconds close)
    : api_(load()), rank_(rank), size_(size), close_(close) {
  const UniqueId id = agree(store, prefix, limit);
  try {
    connect(id, limit);
  } catch (const Error&) {
    abort();
    throw;
  }
}

Connection::~Connection() {
  try {
    if (aborted_) return;  // other threads are gone
    finalize();
  } catch (const std::exception& e) {
    log::warn("dist", "rank {}: NCCL does not end: {}", rank_, e.what());
    abort();
  }
}

// One library in all ranks: others may be connected, and then wait for ever.
UniqueId Connection::agree(Store& store, const std::string& prefix, Milliseconds limit) const {
  UniqueId id{};
  const std::string key = prefix + "/id";
  if (rank_ == 0) {
    if (const Result got = api_.get_unique_id(&id); got != Result::Success) {
      fail(Exit::Peer,
           "rank 0 of {}: NCCL {} cannot listen: {} ({}). NCCL_SOCKET_IFNAME names the interface to use.",
           size_, version_text(api_.version), api_.get_error_string(got),
           first_line(api_.get_last_error(nullptr)));
    }
    store.set(key, std::to_string(api_.version) + " " + std::string(id.bytes, sizeof(id.bytes)));
    return id;
  }
  const std::optional<std::string> said = store.get(key, limit);
  if (!said) {
    fail(Exit::Peer,
         "rank {} of {}: rank 0 did not say within {} ms how NCCL reaches it. See its log: it has failed, or "
         "does not come as far.",
         rank_, size_, limit.count());
  }
  const std::size_t space = said->find(' ');
  RT_CHECK(space != said->npos && said->size() == space + 1 + sizeof(id.bytes), "{}: {} bytes", key,
           said->size());
  const int version = std::stoi(*said);
  if (version != api_.version) {
    fail(Exit::Config, "rank {} has NCCL {} ({}), rank 0 has {}. Install the same one on all machines.",
         rank_, version_text(api_.version), api_.library, version_text(version));
  }
  std::memcpy(id.bytes, said->data() + space + 1, sizeof(id.bytes));
  return id;
}

void Connection::connect(const UniqueId& id, Milliseconds limit) {
  constexpr const char* kHint = "NCCL_SOCKET_IFNAME names the interface to use, NCCL_DEBUG=INFO says more";
  const auto deadline = Clock::now() + limit;
  Config config;
  try {
    add([&] { return api_.comm_init_rank_config(&comm_, size_, id, rank_, &config); });
    settle(deadline);
  } catch (const Error& e) {
    const bool late = Clock::now() >= deadline;
    fail(Exit::Peer, "rank {} cannot reach all {} processes{}: {}. {}.", rank_, size_,
         late ? format(" within {} ms", limit.count()) : "", e.what(), kHint);
  }
}

void Connection::begin() { add(api_.group_start); }

void Connection::end() {
  add(api_.group_end);
  settle(Clock::time_point::max());
}

// A caller with a limit of its own calls abort(), which ends this.
void Connection::settle(Clock::time_point deadline) {
  for (int polls = 0;; ++polls) {
    const Result now = state();
    if (now != Result::InProgress) return check(now);
    if (Clock::now() >= deadline) fail(Exit::Peer, "NCCL {} is still at it", version_text(api_.version));
    // Of most calls this is soon the case; the first of a kind make connections. Not a yield, which on a busy
    // core costs a whole slice of time.
    std::this_thread::sleep_for(std::chrono::microseconds(polls < 100 ? 10 : 500));
  }
}

Result Connection::state() {
  Result now = Result::InProgress;
  const Result asked = guarded([&] { return api_.comm_get_async_error(comm_, &now); });
  return asked == Result::Success ? now : asked;
}

void Connection::check(Result result) {
  if (result != Result::Success && result != Result::InProgress) fail(Exit::Peer, "{}", words(result));
}

std::string Connection::words(Result result) {
  std::string more;
  guarded([&] {
    more = first_line(api_.get_last_error(comm_));
    return Result::Success;
  });
  return format("NCCL {}: {}{}", version_text(api_.version), api_.get_error_string(result),
                more.empty() ? "" : " (" + more + ")");
}

std::string Connection::problem() {
  const Result now = state();
  return now == Result::Success || now == Result::InProgress ? "" : words(now);
}

void Connection::finalize() {
  add([&] { return api_.comm_finalize(comm_); });
  const auto deadline = Clock::now() + close_;
  settle(deadline);
  if (!within(deadline - Clock::now(), [destroy = api_.comm_destroy, comm = comm_] { destroy(comm); }))
    log::warn("dist", "rank {}: ncclCommDestroy did not return within {} ms", rank_, close_.count());
}

void Connection::abort() noexcept {
  const auto deadline = Clock::now() + close_;
  try {
    {
      std::unique_lock lock(mutex_);
      if (aborted_) return;
      aborted_ = true;
      left_.wait_for(lock, close_ / 2, [&] { return inside_ == 0; });
    }
    if (!comm_) return;
    if (!within(deadline - Clock::now(), [abort = api_.comm_abort, comm = comm_] { abort(comm); }))
      log::warn("dist", "rank {}: ncclCommAbort did not return within {} ms", rank_, close_.count());
  } catch (const std::exception& e) { log::warn("dist", "rank {}: {}", rank_, e.what()); }
}

void Connection::enter() {
  const std::lock_guard lock(mutex_);
  if (aborted_) fail(Exit::Peer, "it was given up");
  ++inside_;
}

void Connection::leave() {
  const std::lock_guard lock(mutex_);
  --inside_;
  left_.notify_all();
}

}  // namespace rt::dist::nccl
