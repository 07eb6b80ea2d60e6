#pragma once
#include <array>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include "cuda/emulation/fiber.h"
#include "cuda/emulation/ready_queue.h"
#include "cuda/emulation/runtime.h"
#include "cuda/emulation/shared_memory.h"

namespace rt::cuda::emu {

// Runs blocks one after the other on the OS thread it was made on.
class Block {
 public:
  Block();
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // Throws what the kernel did wrong.
  void run(const Launch& launch, const Options& options, std::int64_t index);

  // For the thread of the kernel that is running; see runtime.h.
  int barrier(Combine combine, bool predicate, const char* what, Site site);
  void collective(unsigned mask, const char* what, Site site, const void* in, void* out, Exchange exchange);
  void whole_warp(const char* what, Site site, const void* in, void* out, Exchange exchange);
  void syncwarp(unsigned mask, Site site);
  int lane_index() const { return static_cast<int>(current_ % 32); }
  void copy_async(void* dst, const void* src, bool valid, Site site);
  void copy_async_commit() { ++current().groups; }
  void copy_async_wait(unsigned groups_left);
  SharedMemory& shared() { return shared_; }
  [[noreturn, gnu::format(printf, 2, 3)]] void stop(const char* text, ...);

  // The body of every fiber.
  [[noreturn]] void run_thread();

 private:
  static constexpr unsigned kSyncKinds = 32;
  static unsigned sync_kind(unsigned mask) { return mask * 0x9e3779b1u >> 27; }

  struct Copy {
    void* dst;
    const void* src;
    bool valid;
    unsigned group;
  };
  struct Thread {
    Fiber fiber;
    uint3 index;
    Site site;
    const char* waits_in;  // null: does not wait
    unsigned mask;         // of the lanes it waits for; 0: the block
    std::vector<Copy> copies;
    unsigned groups;                              // committed
    std::array<unsigned char, kSyncKinds> syncs;  // __syncwarp calls so far, by sync_kind(mask)
  };
  // Lanes of a warp on their way into one operation.
  struct Meeting {
    unsigned mask, arrived;
    const char* what;
    Site site;
    const void* in[32];
    void* out[32];
  };
  struct Warp {
    unsigned lanes, returned;
    std::vector<Meeting> meetings;
    char sync_order[2 * kSyncKinds];  // as barrier_order_, for __syncwarp
  };
  struct Barrier {
    unsigned arrived;
    Combine combine;
    bool any, all;
    int count;
    const char* what;
    Site site;
    unsigned first;
  };

  Thread& current() { return threads_[current_]; }
  void start(std::int64_t index);
  void suspend(const char* what, Site site, unsigned mask);
  void resume_next(Fiber& from, bool from_ends);
  void wake(unsigned thread) { ready_.push(thread); }
  void check_return();
  [[noreturn]] void abandon();
  void join(Meeting& meeting, const void* in, void* out, Exchange exchange);
  void describe_waiters();
  void report();
  void forget_threads();

  const Launch* launch_ = nullptr;
  unsigned size_ = 0, current_ = 0, finished_ = 0;
  std::vector<Stack> stacks_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  ReadyQueue ready_;
  SharedMemory shared_;
  Barrier barrier_{};
  int barrier_result_ = 0;
  unsigned barriers_passed_ = 0;
  char barrier_order_[2] = {};  // what ThreadSanitizer orders the threads by at even and odd barriers
  char launch_order_ = 0;
  Fiber main_;
  bool stopped_ = false, deadlock_ = false;
  std::array<char, 2048> message_{};
  std::exception_ptr exception_;
};

// The one whose kernel thread is running; null outside a kernel.
Block* running_block();

}  // namespace rt::cuda::emu
