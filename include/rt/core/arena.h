#pragma once
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/core/buffer.h"
#include "rt/core/stream.h"

namespace rt {

struct AllocRecord {
  std::string name;
  std::size_t bytes;
};

// In Measure mode memory is only counted: addresses are distinct and aligned but must never be touched.
enum class MemoryMode : std::uint8_t { Measure, Live };

// A view that is there but must never be touched, for dry runs.
TensorView untouchable(Shape shape, DType dtype, Device device = Device::cpu());

// A stack of tensors: allocation bumps, release(mark) pops everything above the mark. In Measure mode it only
// counts, remembering by name what was alive at the highest point; in Live mode it owns one buffer of fixed
// capacity. Released memory is filled with NaN in debug builds.
class Arena {
 public:
  using Mode = MemoryMode;
  struct Mark {
    std::size_t offset;
    std::size_t records;
  };

  Arena(std::string name, Device device);                        // Measure
  Arena(std::string name, Device device, std::size_t capacity);  // Live

  TensorView alloc(Shape shape, DType dtype, std::string_view name);
  Mark mark() const { return {offset_, records_.size()}; }
  void release(Mark mark);
  // Releases everything above `mark` but `views` (each allocated above it, contiguous), which slide down to
  // it in address order, by copies in the order of `stream`. Returns where they are now, in the order given.
  std::vector<TensorView> release_except(Mark mark, std::span<const TensorView> views, std::string_view name,
                                         const Stream& stream);
  // For tests: fills the free part with NaN now, puts a guard band after each allocation from now on, and
  // throws at release when a band was written to.
  void guard();
  bool contains(const TensorView& view, Mark above) const;
  std::size_t used() const { return offset_; }
  std::size_t high_water() const { return high_water_; }
  std::size_t capacity() const { return buffer_.bytes(); }
  std::span<const AllocRecord> peak() const { return peak_; }  // Measure mode only
  Mode mode() const { return mode_; }

 private:
  void check_guards(Mark mark) const;
  void fill(std::size_t offset, int byte, std::size_t bytes) const;

  std::string name_;
  Device device_;
  Mode mode_;
  Buffer buffer_;
  std::size_t offset_ = 0;
  std::size_t high_water_ = 0;
  std::vector<AllocRecord> records_;  // Measure mode, or guarded
  bool guarded_ = false;
  std::vector<AllocRecord> peak_;
};

// Releases what was allocated since its construction.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  Arena::Mark mark_;
};

// Gradients of intermediate values: freed in any order, so a best-fit pool. Placement is a pure function of
// the sequence of calls, hence the same in Measure and Live mode and in every step.
class GradPool {
 public:
  explicit GradPool(Device device);               // Measure
  GradPool(Device device, std::size_t capacity);  // Live
  TensorView alloc(Shape shape, DType dtype, std::string_view name);
  void free(const TensorView& view);
  std::size_t high_water() const { return high_water_; }
  std::size_t live() const { return live_.size(); }  // allocations not freed
  MemoryMode mode() const { return mode_; }

 private:
  Device device_;
  MemoryMode mode_;
  Buffer buffer_;
  std::map<std::size_t, std::size_t> holes_;  // offset -> bytes; the last hole has no end
  std::map<std::size_t, std::size_t> live_;   // offset -> bytes
  std::size_t high_water_ = 0;
};

}  // namespace rt
