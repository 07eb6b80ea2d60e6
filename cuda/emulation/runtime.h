#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

// Runs kernels on the CPU, for tests: every CUDA thread is a fiber of its own, blocks are taken by up to
// Options::os_threads threads, and a launch returns when its kernel has finished (or, while its stream is
// recorded, at once). What a GPU leaves undefined is an rt::Error that names kernel, block, thread and place:
// threads of a block at different barriers, lanes of a warp at different operations, waiting for a thread
// that has returned or for each other, a shared array overrun, an address that ldmatrix or cp.async cannot
// take. What cannot be seen as it happens spoils the result: shared memory starts as NaN, so does the target
// of a cp.async until it is waited for. A missing barrier shows as results that depend on Options::order and
// seed.
//
// Not covered: bank conflicts, timing, memory order between blocks, the rounding of approximate functions and
// of sums inside an mma.
namespace rt::cuda::emu {

// The order in which threads of a block run between two points where they wait. Prio: the warp of highest
// random priority runs, and priorities change now and then, so that warps get far ahead of others.
enum class Order : std::uint8_t { Fifo, Lifo, Random, Prio };

struct Options {
  Order order = Order::Fifo;
  std::uint64_t seed = 0;  // of Random and Prio
  int os_threads = 0;      // at most this many at once; 0: as many as parallel_for has
  // Dynamic and static shared memory of a block: what every architecture from sm_80 on has.
  std::size_t shared_limit = 99 * 1024;
  unsigned char fill = 0xff;  // of shared memory when a block starts; 0xff.. is NaN in f32 and bf16
};

// For launches from now on. The default is RT_EMU_ORDER=fifo|lifo|random|prio, RT_EMU_SEED=n,
// RT_EMU_THREADS=n.
Options options();
void set_options(const Options& options);
Options default_options();  // throws on values it does not know

// Orders that a kernel must give the same bits in: 0 is the default, then lifo and prio with four seeds, one
// of which fills shared memory with large finite numbers. Keeps os_threads and shared_limit.
void use_schedule(int index);
int schedule_count() noexcept;

struct Launch {
  const char* name;
  dim3 grid, block;
  std::size_t shared;
  void (*call)(const void* closure);  // runs one thread of the kernel
  const void* closure;
};
void run(const Launch& launch);

// What follows is called by threads of a running kernel.

struct Site {
  const char* file;
  int line;
};
inline bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }
inline bool same(const Site& a, const Site& b) { return a.line == b.line && same(a.file, b.file); }

enum class Combine : std::uint8_t { None, Or, And, Count };

// Waits for all threads of the block and combines their predicates.
int barrier(Combine combine, bool predicate, const char* what, Site site);

// Waits until every lane of the mask has come with the same mask, `what` and site. The last one calls
// `exchange` for all of them; in[i] and out[i] are lane i's own, null for lanes not in the mask.
using Exchange = void (*)(const void* const (&in)[32], void* const (&out)[32], unsigned mask);
void collective(unsigned mask, const char* what, Site site, const void* in, void* out, Exchange exchange);

// As above for all 32 lanes, none of which may be missing from the block.
void whole_warp(const char* what, Site site, const void* in, void* out, Exchange exchange);
void syncwarp(unsigned mask, Site site);
unsigned ballot(unsigned mask, bool predicate, const char* what, Site site);
// The bits of lane `source`; all ones when it is not in the mask.
std::uint64_t shuffle(unsigned mask, std::uint64_t bits, int source, const char* what, Site site);
int lane_index();

// One object per shared array declaration.
struct SharedTag {
  const char* name;
  Site site;
};
void* static_shared(const SharedTag& tag, std::size_t bytes, std::size_t align);
// The index-th array cut from dynamic shared memory.
void* carve(unsigned index, std::size_t bytes, std::size_t align, Site site);
// Throws unless the bytes lie in one shared array.
void check_shared(const void* p, std::size_t bytes, const char* what, Site site);
void check_alignment(const void* p, std::size_t bytes, const char* what, Site site);

void copy_async(void* dst, const void* src, bool valid, Site site);
void copy_async_commit();
void copy_async_wait(unsigned groups_left);

[[noreturn]] void trap(Site site);

}  // namespace rt::cuda::emu
