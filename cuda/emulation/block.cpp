#include "cuda/emulation/block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "cuda/emulation/thread_index.h"
#include "rt/core/error.h"

namespace rt::cuda::emu {
namespace {

constinit thread_local Block* running = nullptr;

uint3 index3(std::int64_t i, const dim3& size) {
  const auto x = static_cast<std::int64_t>(size.x), y = static_cast<std::int64_t>(size.y);
  return {static_cast<unsigned>(i % x), static_cast<unsigned>(i / x % y), static_cast<unsigned>(i / x / y)};
}

void enter_thread() { running->run_thread(); }

}  // namespace

Block* running_block() { return running; }

Block::Block() = default;

Block::~Block() { forget_threads(); }

void Block::forget_threads() {
  for (Thread& thread : threads_) thread.fiber.forget();
}

void Block::start(std::int64_t index) {
  while (stacks_.size() < size_) stacks_.emplace_back();
  if (threads_.size() < size_) threads_.resize(size_);
  warps_.resize((size_ + 31) / 32);
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    const unsigned lanes = std::min(32u, size_ - static_cast<unsigned>(w) * 32);
    warps_[w].lanes = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps_[w].returned = 0;
    warps_[w].meetings.clear();
  }
  barrier_ = {};
  barriers_passed_ = 0;
  finished_ = 0;
  stopped_ = deadlock_ = false;
  exception_ = nullptr;
  message_[0] = 0;
  ::gridDim = launch_->grid;
  ::blockDim = launch_->block;
  ::blockIdx = index3(index, launch_->grid);
  for (unsigned t = 0; t < size_; ++t) {
    Thread& thread = threads_[t];
    thread.index = index3(t, launch_->block);
    thread.waits_in = nullptr;
    thread.copies.clear();
    thread.groups = 0;
    thread.syncs.fill(0);
    thread.fiber.start(stacks_[t], enter_thread);
    ready_.push(t);
  }
}

void Block::run(const Launch& launch, const Options& options, std::int64_t index) {
  launch_ = &launch;
  size_ = launch.block.x * launch.block.y * launch.block.z;
  ready_.reset(options.order, options.seed * 0x2545f4914f6cdd1du + static_cast<std::uint64_t>(index));
  shared_.reset(options, launch.shared);
  start(index);
  main_.adopt_thread();
  running = this;
  sanitizers::release(&launch_order_);
  resume_next(main_, false);
  sanitizers::acquire(&launch_order_);
  running = nullptr;
  if (stopped_) forget_threads();
  report();
}

// Throws what went wrong, if anything did.
void Block::report() {
  if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
  const std::string overrun = stopped_ ? "" : shared_.overrun();
  if (!stopped_ && overrun.empty()) return;
  const uint3 b = ::blockIdx, t = index3(current_, launch_->block);
  const std::string block = format("emulated {}: block ({}, {}, {})", launch_->name, b.x, b.y, b.z);
  if (!overrun.empty()) fail(Exit::Failure, "{}: {}", block, overrun);
  if (deadlock_) fail(Exit::Failure, "{}: {}", block, message_.data());
  fail(Exit::Failure, "{}, thread ({}, {}, {}): {}", block, t.x, t.y, t.z, message_.data());
}

void Block::run_thread() {
  Fiber::arrived(current().fiber);
  sanitizers::acquire(&launch_order_);
  try {
    launch_->call(launch_->closure);
  } catch (...) { exception_ = std::current_exception(); }
  if (exception_) abandon();
  check_return();
  sanitizers::release(&launch_order_);
  ++finished_;
  warps_[current_ / 32].returned |= 1u << (current_ % 32);
  resume_next(current().fiber, true);
  __builtin_unreachable();
}

void Block::stop(const char* text, ...) {
  std::va_list args;
  va_start(args, text);
  std::vsnprintf(message_.data(), message_.size(), text, args);
  va_end(args);
  abandon();
}

// Back to run(), with the other threads where they are.
void Block::abandon() {
  stopped_ = true;
  sanitizers::release(&launch_order_);
  Fiber::switch_to(current().fiber, main_, true);
  __builtin_unreachable();
}

// Runs the next thread that can, or goes back to run() when all have returned.
void Block::resume_next(Fiber& from, bool from_ends) {
  if (ready_.empty()) {
    if (finished_ != size_) {
      describe_waiters();
      stopped_ = deadlock_ = true;
    }
    Fiber::switch_to(from, main_, from_ends);
    return;
  }
  current_ = ready_.pop();
  Thread& next = current();
  ::threadIdx = next.index;
  if (&next.fiber != &from) Fiber::switch_to(from, next.fiber, from_ends);
}

void Block::suspend(const char* what, Site site, unsigned mask) {
  Thread& thread = current();
  thread.waits_in = what;
  thread.site = site;
  thread.mask = mask;
  resume_next(thread.fiber, false);
  thread.waits_in = nullptr;
}

// Groups of threads that wait at the same place; the block is then at a standstill.
void Block::describe_waiters() {
  std::size_t used = 0;
  const auto add = [&](const char* format, auto... args) {
    if (used >= message_.size()) return;
    const int n = std::snprintf(message_.data() + used, message_.size() - used, format, args...);
    used += static_cast<std::size_t>(std::max(0, n));
  };
  add("%s", "deadlock:");
  const char* separator = "";
  for (unsigned t = 0; t < size_; ++t) {
    const Thread& first = threads_[t];
    if (!first.waits_in) continue;
    unsigned count = 0;
    for (unsigned u = t; u < size_; ++u) {
      Thread& other = threads_[u];
      if (!other.waits_in || !same(other.waits_in, first.waits_in) || other.mask != first.mask ||
          !same(other.site, first.site)) {
        continue;
      }
      ++count;
      if (u != t) other.waits_in = nullptr;
    }
    add("%s %u from thread %u on wait in %s at %s:%d", separator, count, t, first.waits_in, first.site.file,
        first.site.line);
    if (first.mask) add(" with mask %#x", first.mask);
    separator = ",";
  }
  add(", %u of %u have returned", finished_, size_);
}

}  // namespace rt::cuda::emu
