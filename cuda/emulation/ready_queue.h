#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "cuda/emulation/runtime.h"

namespace rt::cuda::emu {

// splitmix64
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  unsigned below(unsigned n) { return static_cast<unsigned>(((next() >> 32) * n) >> 32); }

 private:
  std::uint64_t state_;
};

// The threads of a block that can run, at most kThreads, and which of them is next.
class ReadyQueue {
 public:
  static constexpr unsigned kThreads = 1024;

  void reset(Order order, std::uint64_t seed) {
    order_ = order;
    random_ = Random(seed);
    head_ = count_ = 0;
    lanes_.fill(0);
    warps_ = 0;
    for (auto& priority : priority_) priority = random_.next();
  }

  bool empty() const { return order_ == Order::Prio ? warps_ == 0 : count_ == 0; }

  void push(unsigned thread) {
    if (order_ == Order::Prio) {
      lanes_[thread / 32] |= 1u << (thread % 32);
      warps_ |= 1u << (thread / 32);
    } else {
      ring_[(head_ + count_++) % kThreads] = static_cast<std::uint16_t>(thread);
    }
  }

  // Of a queue that is not empty.
  unsigned pop() {
    if (order_ == Order::Prio) return pop_by_priority();
    if (order_ == Order::Lifo) return ring_[(head_ + --count_) % kThreads];
    if (order_ == Order::Random) std::swap(ring_[head_], ring_[(head_ + random_.below(count_)) % kThreads]);
    const unsigned thread = ring_[head_];
    head_ = (head_ + 1) % kThreads;
    --count_;
    return thread;
  }

 private:
  unsigned pop_by_priority() {
    unsigned best = 0;
    std::uint64_t highest = 0;
    for (unsigned left = warps_; left; left &= left - 1) {
      const auto warp = static_cast<unsigned>(std::countr_zero(left));
      if (priority_[warp] >= highest) {
        highest = priority_[warp];
        best = warp;
      }
    }
    constexpr unsigned kPicksPerChange = 64;
    if (random_.below(kPicksPerChange) == 0) priority_[best] = random_.next();
    unsigned& lanes = lanes_[best];
    unsigned left = lanes;
    for (unsigned skip = random_.below(static_cast<unsigned>(std::popcount(lanes))); skip > 0; --skip) {
      left &= left - 1;
    }
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    lanes &= ~(1u << lane);
    if (lanes == 0) warps_ &= ~(1u << best);
    return best * 32 + lane;
  }

  Order order_ = Order::Fifo;
  Random random_{0};
  unsigned head_ = 0, count_ = 0, warps_ = 0;
  std::array<std::uint16_t, kThreads> ring_{};
  std::array<unsigned, kThreads / 32> lanes_{};
  std::array<std::uint64_t, kThreads / 32> priority_{};
};

}  // namespace rt::cuda::emu
