// What kernels call, passed on to the block that the calling fiber belongs to.
#include <cstdint>
#include <string>

#include "cuda/emulation/block.h"
#include "cuda/emulation/sanitizers.h"
#include "rt/core/error.h"

namespace rt::cuda::emu {
namespace {

// The tables of the runtime are nothing that a kernel's threads could race for.
using sanitizers::Ignore;

Block& caller(const char* what, Site site) {
  Block* block = running_block();
  RT_CHECK(block, "{} at {}:{}: outside a kernel", what, site.file, site.line);
  return *block;
}

void* shared_or_stop(Block& block, void* p) {
  if (!p) block.stop("%s", block.shared().problem().c_str());
  return p;
}

}  // namespace

int barrier(Combine combine, bool predicate, const char* what, Site site) {
  const Ignore ignore;
  return caller(what, site).barrier(combine, predicate, what, site);
}

void collective(unsigned mask, const char* what, Site site, const void* in, void* out, Exchange exchange) {
  const Ignore ignore;
  caller(what, site).collective(mask, what, site, in, out, exchange);
}

void whole_warp(const char* what, Site site, const void* in, void* out, Exchange exchange) {
  const Ignore ignore;
  caller(what, site).whole_warp(what, site, in, out, exchange);
}

void syncwarp(unsigned mask, Site site) {
  const Ignore ignore;
  caller("__syncwarp", site).syncwarp(mask, site);
}

unsigned ballot(unsigned mask, bool predicate, const char* what, Site site) {
  unsigned result = 0;
  collective(mask, what, site, &predicate, &result,
             [](const void* const(&in)[32], void* const(&out)[32], unsigned lanes) {
               unsigned set = 0;
               for (unsigned i = 0; i < 32; ++i) {
                 if (lanes >> i & 1 && *static_cast<const bool*>(in[i])) set |= 1u << i;
               }
               for (unsigned i = 0; i < 32; ++i) {
                 if (lanes >> i & 1) *static_cast<unsigned*>(out[i]) = set;
               }
             });
  return result;
}

std::uint64_t shuffle(unsigned mask, std::uint64_t bits, int source, const char* what, Site site) {
  struct Request {
    std::uint64_t bits;
    int source;
  };
  const Request request{bits, source};
  std::uint64_t result = 0;
  collective(mask, what, site, &request, &result,
             [](const void* const(&in)[32], void* const(&out)[32], unsigned lanes) {
               for (unsigned i = 0; i < 32; ++i) {
                 if (!(lanes >> i & 1)) continue;
                 const int from = static_cast<const Request*>(in[i])->source;
                 const bool known = from >= 0 && from < 32 && (lanes >> from & 1);
                 *static_cast<std::uint64_t*>(out[i]) =
                     known ? static_cast<const Request*>(in[from])->bits : ~std::uint64_t{0};
               }
             });
  return result;
}

int lane_index() { return caller("a shuffle", {"", 0}).lane_index(); }

void* static_shared(const SharedTag& tag, std::size_t bytes, std::size_t align) {
  const Ignore ignore;
  Block& block = caller(tag.name, tag.site);
  return shared_or_stop(block, block.shared().static_array(tag, bytes, align));
}

void* carve(unsigned index, std::size_t bytes, std::size_t align, Site site) {
  const Ignore ignore;
  Block& block = caller("Smem::take", site);
  return shared_or_stop(block, block.shared().carve(index, bytes, align, site));
}

void check_shared(const void* p, std::size_t bytes, const char* what, Site site) {
  Block& block = caller(what, site);
  if (!block.shared().contains(p, bytes)) {
    block.stop("%s %zu bytes that are not in one shared array, at %s:%d", what, bytes, site.file, site.line);
  }
}

void check_alignment(const void* p, std::size_t bytes, const char* what, Site site) {
  if (reinterpret_cast<std::uintptr_t>(p) % bytes == 0) return;
  caller(what, site)
      .stop("%s an address that is not a multiple of %zu, at %s:%d", what, bytes, site.file, site.line);
}

void copy_async(void* dst, const void* src, bool valid, Site site) {
  caller("cp.async", site).copy_async(dst, src, valid, site);
}
void copy_async_commit() { caller("cp.async", {"", 0}).copy_async_commit(); }
void copy_async_wait(unsigned groups_left) { caller("cp.async", {"", 0}).copy_async_wait(groups_left); }

void trap(Site site) { caller("__trap", site).stop("__trap() at %s:%d", site.file, site.line); }

}  // namespace rt::cuda::emu
