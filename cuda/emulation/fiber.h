#pragma once
#include <cstddef>

#include "cuda/emulation/sanitizers.h"

// Three times as fast as swapcontext, which asks the kernel for signal masks.
#if defined(__x86_64__) && !defined(RT_EMU_UCONTEXT)
#define RT_EMU_OWN_SWITCH 1
#else
#include <ucontext.h>
#endif

namespace rt::cuda::emu {

// Memory for the stack of a fiber, above a page that faults: an overrun is a crash and not a wrong result.
class Stack {
 public:
  Stack();
  ~Stack();
  Stack(Stack&& other) noexcept;
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  void* bottom() const { return bottom_; }
  static std::size_t bytes();

 private:
  void* bottom_ = nullptr;
};

// A flow of control that is not running. The one an OS thread came with needs no start().
class Fiber {
 public:
  // The next switch to it calls entry() on the stack. entry must not return and lets no exception out.
  void start(const Stack& stack, void (*entry)());

  // Leaves `from`, of the calling thread, until something switches back to it. A fiber stays on its OS
  // thread.
  static void switch_to(Fiber& from, Fiber& to, bool from_ends = false);

  // First in every entry().
  static void arrived(Fiber& self);

  // Of the calling OS thread, whose stack is not ours.
  void adopt_thread();
  // Forgets what ThreadSanitizer knows of it, to which it is one thread for all its starts. Needed before it
  // goes, and when it will not come to the end of entry().
  void forget();

 private:
#ifdef RT_EMU_OWN_SWITCH
  void* sp_ = nullptr;
#else
  ucontext_t context_{};
#endif
  void* bottom_ = nullptr;
  std::size_t bytes_ = 0;
  void* fake_stack_ = nullptr;
  void* tsan_ = nullptr;
};

}  // namespace rt::cuda::emu
