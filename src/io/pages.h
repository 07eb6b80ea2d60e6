#pragma once
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace rt::io {

// What reads and writes past the page cache (O_DIRECT) are made of: the cache itself knows nothing smaller,
// and no disk asks for a coarser alignment than that of 4 KiB.
inline std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(std::max(4096L, ::sysconf(_SC_PAGESIZE)));
  return bytes;
}

struct FreePages {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using Pages = std::unique_ptr<std::byte, FreePages>;

// Uninitialised memory that begins with a page; `bytes` is of whole pages.
inline Pages allocate_pages(std::size_t bytes) {
  Pages memory(static_cast<std::byte*>(std::aligned_alloc(page_bytes(), bytes)));
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace rt::io
