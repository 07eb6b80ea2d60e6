#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <string_view>

#include "cuda/emulation/block.h"
#include "rt/core/error.h"
#include "rt/core/parallel.h"

namespace rt::cuda::emu {
namespace {

// Every OS thread keeps 1024 stacks of two mappings each, and a process may have 65530.
constexpr int kMaxOsThreads = 16;

std::mutex options_mutex;

Options& current_options() {
  static Options instance = default_options();
  return instance;
}

std::uint64_t number_from_env(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (!text || !*text) return otherwise;
  std::uint64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, value);
  if (error != std::errc{} || at != end) fail(Exit::Config, "{}={} is not a number", name, text);
  return value;
}

Order order_from_env() {
  const char* text = std::getenv("RT_EMU_ORDER");
  const std::string_view name = text ? text : "";
  if (name.empty() || name == "fifo") return Order::Fifo;
  if (name == "lifo") return Order::Lifo;
  if (name == "random") return Order::Random;
  if (name == "prio") return Order::Prio;
  fail(Exit::Config, "RT_EMU_ORDER={}: it is fifo, lifo, random or prio", name);
}

void check_launch(const Launch& l) {
  const auto refuse = [&](const char* why) {
    fail(Exit::Failure, "emulated {}: grid ({}, {}, {}), block ({}, {}, {}), {} bytes of shared memory: {}",
         l.name, l.grid.x, l.grid.y, l.grid.z, l.block.x, l.block.y, l.block.z, l.shared, why);
  };
  if (l.grid.x == 0 || l.grid.y == 0 || l.grid.z == 0) refuse("an empty grid");
  if (l.grid.x > 0x7fffffffu || l.grid.y > 65535 || l.grid.z > 65535) refuse("the grid is too large");
  const std::uint64_t threads = std::uint64_t{l.block.x} * l.block.y * l.block.z;
  if (threads == 0) refuse("an empty block");
  if (threads > 1024 || l.block.x > 1024 || l.block.y > 1024 || l.block.z > 64)
    refuse("the block is too large");
  if (l.shared > options().shared_limit) refuse("more shared memory than a block can have");
}

// The i-th block to run: blocks depend on each other as little as their threads do.
class BlockOrder {
 public:
  BlockOrder(const Options& options, std::int64_t blocks) : blocks_(static_cast<std::uint64_t>(blocks)) {
    if (options.order == Order::Fifo) return;
    first_ = blocks_ - 1;
    step_ = blocks_ - 1;
    if (options.order == Order::Lifo) return;
    Random random(options.seed);
    first_ = random.next() % blocks_;
    do step_ = 1 + random.next() % blocks_;
    while (std::gcd(step_, blocks_) != 1);
  }
  std::int64_t operator()(std::int64_t i) const {
    return static_cast<std::int64_t>((first_ + static_cast<std::uint64_t>(i) % blocks_ * step_) % blocks_);
  }

 private:
  std::uint64_t blocks_, first_ = 0, step_ = 1;
};

Block& block_of_this_thread() {
  thread_local Block block;
  return block;
}

}  // namespace

Options default_options() {
  Options o;
  o.order = order_from_env();
  o.seed = number_from_env("RT_EMU_SEED", 0);
  o.os_threads =
      static_cast<int>(std::min<std::uint64_t>(number_from_env("RT_EMU_THREADS", 0), kMaxOsThreads));
  return o;
}

Options options() {
  const std::lock_guard lock(options_mutex);
  return current_options();
}

void set_options(const Options& options) {
  const std::lock_guard lock(options_mutex);
  current_options() = options;
}

int schedule_count() noexcept { return 6; }

void use_schedule(int index) {
  RT_CHECK(index >= 0 && index < schedule_count(), "emulated cuda: schedule {} of {}", index,
           schedule_count());
  Options o = options();
  const Options standard = default_options();
  o.order = index == 0 ? standard.order : index == 1 ? Order::Lifo : Order::Prio;
  o.seed = index == 0 ? standard.seed : static_cast<std::uint64_t>(index);
  o.fill = index == 5 ? 0x7e : 0xff;
  set_options(o);
}

void run(const Launch& launch) {
  RT_CHECK(!running_block(), "emulated {}: launched from inside a kernel", launch.name);
  check_launch(launch);
  const Options o = options();
  const std::int64_t blocks = std::int64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const std::int64_t wanted = std::min(o.os_threads > 0 ? o.os_threads : num_threads(), kMaxOsThreads);
  const BlockOrder block(o, blocks);
  std::atomic<std::int64_t> next{0};
  parallel_for(std::min(wanted, blocks), 1, [&](std::int64_t, std::int64_t) {
    for (std::int64_t i = next++; i < blocks; i = next++) {
      try {
        block_of_this_thread().run(launch, o, block(i));
      } catch (...) {
        next = blocks;
        throw;
      }
    }
  });
}

}  // namespace rt::cuda::emu
