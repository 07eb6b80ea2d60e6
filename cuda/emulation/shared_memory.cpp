#include "cuda/emulation/shared_memory.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "cuda/emulation/sanitizers.h"
#include "rt/core/error.h"

namespace rt::cuda::emu {
namespace {

// Room for the largest shared memory there is and the gaps between many arrays.
constexpr std::size_t kArenaBytes = 1024 * 1024, kGap = 64, kAlign = 128;
constexpr std::size_t kStaticLimit = 48 * 1024;
// A value that arithmetic seldom writes.
constexpr unsigned char kCanary = 0xc5;

std::size_t rounded(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

std::string SharedMemory::Array::name() const {
  if (tag) return format("shared array {} ({}:{})", tag->name, tag->site.file, tag->site.line);
  return format("dynamic shared array {} ({}:{})", index, site.file, site.line);
}

SharedMemory::SharedMemory() : arena_(static_cast<unsigned char*>(std::aligned_alloc(kAlign, kArenaBytes))) {
  if (!arena_) fail(Exit::Memory, "emulated cuda: no memory for the shared memory of a block");
  std::memset(arena_, kCanary, kArenaBytes);
  sanitizers::poison(arena_, kArenaBytes);
}

SharedMemory::~SharedMemory() {
  sanitizers::unpoison(arena_, kArenaBytes);
  std::free(arena_);
}

void SharedMemory::reset(const Options& options, std::size_t dynamic_bytes) {
  sanitizers::unpoison(arena_, used_ + kGap);
  std::memset(arena_, kCanary, used_ + kGap);
  sanitizers::poison(arena_, used_ + kGap);
  used_ = kGap;
  static_bytes_ = carved_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  limit_ = options.shared_limit;
  fill_ = options.fill;
  arrays_.clear();
  dynamic_.clear();
  problem_.clear();
}

void* SharedMemory::refuse(std::string why) {
  problem_ = std::move(why);
  return nullptr;
}

void* SharedMemory::place(Array array, std::size_t align) {
  array.offset = rounded(used_, align);
  used_ = array.offset + array.bytes + kGap;
  if (used_ + kGap > kArenaBytes) return refuse(array.name() + " does not fit");
  unsigned char* const p = arena_ + array.offset;
  sanitizers::unpoison(p, array.bytes);
  std::memset(p, fill_, array.bytes);
  arrays_.push_back(array);
  return p;
}

void* SharedMemory::static_array(const SharedTag& tag, std::size_t bytes, std::size_t align) {
  for (const Array& array : arrays_) {
    if (array.tag == &tag) return arena_ + array.offset;
  }
  const Array array{&tag, 0, tag.site, 0, bytes};
  static_bytes_ = rounded(static_bytes_, align) + bytes;
  if (static_bytes_ > kStaticLimit) {
    return refuse(
        format("{}: {} bytes of static shared memory of {}", array.name(), static_bytes_, kStaticLimit));
  }
  if (static_bytes_ + dynamic_bytes_ > limit_) {
    return refuse(format("{}: {} bytes of static and {} of dynamic shared memory, together more than {}",
                         array.name(), static_bytes_, dynamic_bytes_, limit_));
  }
  return place(array, align);
}

void* SharedMemory::carve(unsigned index, std::size_t bytes, std::size_t align, Site site) {
  const Array array{nullptr, index, site, 0, bytes};
  if (index < dynamic_.size()) {
    const Array& first = arrays_[dynamic_[index]];
    if (first.bytes == bytes) return arena_ + first.offset;
    return refuse(format("{} has {} bytes, another thread took {} bytes ({}:{})", array.name(), bytes,
                         first.bytes, first.site.file, first.site.line));
  }
  carved_bytes_ += rounded(bytes, align);
  if (carved_bytes_ > dynamic_bytes_) {
    return refuse(
        format("{} ends at byte {} of {} that the launch gave", array.name(), carved_bytes_, dynamic_bytes_));
  }
  void* const p = place(array, kAlign);
  if (p) dynamic_.push_back(static_cast<unsigned>(arrays_.size() - 1));
  return p;
}

bool SharedMemory::contains(const void* p, std::size_t bytes) const {
  const auto* at = static_cast<const unsigned char*>(p);
  for (const Array& array : arrays_) {
    const unsigned char* begin = arena_ + array.offset;
    if (at >= begin && at < begin + array.bytes)
      return bytes <= array.bytes - static_cast<std::size_t>(at - begin);
  }
  return false;
}

std::string SharedMemory::overrun() const {
#ifdef RT_EMU_ASAN
  return {};  // AddressSanitizer guards these bytes, against us too
#endif
  std::size_t at = 0;
  const Array* before = nullptr;
  const auto scan = [&](std::size_t end) {
    for (; at < end; ++at) {
      if (arena_[at] != kCanary) return true;
    }
    return false;
  };
  for (const Array& array : arrays_) {
    if (scan(array.offset)) {
      return before ? format("{} of {} bytes was written beyond its end, or {} before its begin",
                             before->name(), before->bytes, array.name())
                    : array.name() + " was written before its begin";
    }
    at = array.offset + array.bytes;
    before = &array;
  }
  if (!scan(used_ + kGap)) return {};
  return before ? format("{} of {} bytes was written beyond its end", before->name(), before->bytes)
                : "shared memory was written that no array is in";
}

}  // namespace rt::cuda::emu
