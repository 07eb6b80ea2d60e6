#pragma once
#include <cstddef>

// What AddressSanitizer and ThreadSanitizer must be told about fibers. The runtime itself is built without
// ThreadSanitizer (RT_EMU_TSAN then says that the program has it), since it touches the memory of all
// threads.
#if defined(__SANITIZE_ADDRESS__)
#define RT_EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RT_EMU_ASAN 1
#endif
#endif
#if !defined(RT_EMU_TSAN) && defined(__SANITIZE_THREAD__)
#define RT_EMU_TSAN 1
#endif

#ifdef RT_EMU_ASAN
extern "C" {
void __asan_poison_memory_region(void const volatile* addr, std::size_t size);
void __asan_unpoison_memory_region(void const volatile* addr, std::size_t size);
void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, std::size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** bottom_old, std::size_t* size_old);
}
#endif
#ifdef RT_EMU_TSAN
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* addr);
void __tsan_release(void* addr);
void __tsan_read_range(void* addr, unsigned long size);
void __tsan_write_range(void* addr, unsigned long size);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace rt::cuda::emu::sanitizers {

inline void poison([[maybe_unused]] void* p, [[maybe_unused]] std::size_t n) {
#ifdef RT_EMU_ASAN
  __asan_poison_memory_region(p, n);
#endif
}

inline void unpoison([[maybe_unused]] void* p, [[maybe_unused]] std::size_t n) {
#ifdef RT_EMU_ASAN
  __asan_unpoison_memory_region(p, n);
#endif
}

// The calling CUDA thread read or wrote these bytes, in the eyes of ThreadSanitizer.
inline void read([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t n) {
#ifdef RT_EMU_TSAN
  __tsan_read_range(const_cast<void*>(p), n);
#endif
}
inline void write([[maybe_unused]] void* p, [[maybe_unused]] std::size_t n) {
#ifdef RT_EMU_TSAN
  __tsan_write_range(p, n);
#endif
}

// Everything before a release happens before what follows an acquire of the same object.
inline void release([[maybe_unused]] void* p) {
#ifdef RT_EMU_TSAN
  __tsan_release(p);
#endif
}
inline void acquire([[maybe_unused]] void* p) {
#ifdef RT_EMU_TSAN
  __tsan_acquire(p);
#endif
}

// While one lives, ThreadSanitizer does not count this thread's accesses as the kernel's.
class Ignore {
 public:
  Ignore() {
#ifdef RT_EMU_TSAN
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
  }
  ~Ignore() {
#ifdef RT_EMU_TSAN
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
  }
  Ignore(const Ignore&) = delete;
  Ignore& operator=(const Ignore&) = delete;
};

}  // namespace rt::cuda::emu::sanitizers
