#include "cuda/emulation/fiber.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "rt/core/error.h"

#ifdef RT_EMU_OWN_SWITCH
// Saves what the ABI lets a callee rely on, stores the stack pointer and continues where the other one was
// left. The floating-point control words are the same in all fibers of a thread and are left alone.
asm(R"(
.text
.p2align 4
.globl rt_emu_switch
.hidden rt_emu_switch
.type rt_emu_switch, @function
rt_emu_switch:
  .cfi_startproc
  endbr64
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .cfi_endproc
.size rt_emu_switch, .-rt_emu_switch
)");
extern "C" void rt_emu_switch(void** from_sp, void* to_sp);
#endif

namespace rt::cuda::emu {
namespace {

// Untouched pages cost nothing. ThreadSanitizer and AddressSanitizer make frames a few times larger.
constexpr std::size_t kStackBytes = 128 * 1024;

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

std::size_t Stack::bytes() { return kStackBytes; }

Stack::Stack() {
  const std::size_t guard = page_bytes();
  void* base =
      mmap(nullptr, kStackBytes + guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) fail(Exit::Memory, "emulated cuda: no memory for the stack of a thread");
  bottom_ = static_cast<char*>(base) + guard;
  if (mprotect(bottom_, kStackBytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(base, kStackBytes + guard);
    bottom_ = nullptr;
    fail(Exit::Memory, "emulated cuda: no memory for the stack of a thread");
  }
}

Stack::~Stack() {
  if (!bottom_) return;
  sanitizers::unpoison(bottom_, kStackBytes);
  munmap(static_cast<char*>(bottom_) - page_bytes(), kStackBytes + page_bytes());
}

Stack::Stack(Stack&& other) noexcept : bottom_(std::exchange(other.bottom_, nullptr)) {}

void Fiber::start(const Stack& stack, void (*entry)()) {
  bottom_ = stack.bottom();
  bytes_ = Stack::bytes();
  fake_stack_ = nullptr;
  sanitizers::unpoison(bottom_, bytes_);  // a kernel that failed left its frames
#ifdef RT_EMU_TSAN
  if (!tsan_) tsan_ = __tsan_create_fiber(0);
#endif
#ifdef RT_EMU_OWN_SWITCH
  // Six registers, the return address, and a zero return address above it where backtraces end. At entry the
  // stack is aligned as after a call.
  auto* top = reinterpret_cast<std::uintptr_t*>(static_cast<char*>(bottom_) + bytes_) - 8;
  std::memset(top, 0, 8 * sizeof(*top));
  top[6] = reinterpret_cast<std::uintptr_t>(entry);
  sp_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = bottom_;
  context_.uc_stack.ss_size = bytes_;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#endif
}

void Fiber::switch_to(Fiber& from, Fiber& to, [[maybe_unused]] bool from_ends) {
#ifdef RT_EMU_ASAN
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack_, to.bottom_, to.bytes_);
#endif
#ifdef RT_EMU_TSAN
  constexpr unsigned kNoSync = 1;
  __tsan_switch_to_fiber(to.tsan_, kNoSync);
#endif
#ifdef RT_EMU_OWN_SWITCH
  rt_emu_switch(&from.sp_, to.sp_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
  arrived(from);
}

void Fiber::arrived([[maybe_unused]] Fiber& self) {
#ifdef RT_EMU_ASAN
  __sanitizer_finish_switch_fiber(self.fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::adopt_thread() {
#ifdef RT_EMU_ASAN
  pthread_attr_t attr;
  if (pthread_getattr_np(pthread_self(), &attr) == 0) {
    pthread_attr_getstack(&attr, &bottom_, &bytes_);
    pthread_attr_destroy(&attr);
  }
#endif
#ifdef RT_EMU_TSAN
  tsan_ = __tsan_get_current_fiber();
#endif
}

void Fiber::forget() {
#ifdef RT_EMU_TSAN
  if (tsan_) __tsan_destroy_fiber(tsan_);
  tsan_ = nullptr;
#endif
}

}  // namespace rt::cuda::emu
