// Where threads of a block wait: for each other, and for their copies.
#include <bit>
#include <cstring>

#include "cuda/emulation/block.h"

namespace rt::cuda::emu {

void Block::check_return() {
  const Thread& thread = current();
  if (!thread.copies.empty()) {
    stop("returns with %zu cp.async copies that it has not waited for", thread.copies.size());
  }
  if (barrier_.arrived > 0) {
    stop("returns, but thread %u waits for it in %s at %s:%d", barrier_.first, barrier_.what,
         barrier_.site.file, barrier_.site.line);
  }
  for (const Meeting& m : warps_[current_ / 32].meetings) {
    if (m.mask >> (current_ % 32) & 1) {
      stop("returns, but lanes %#x of its warp wait for it in %s at %s:%d", m.arrived, m.what, m.site.file,
           m.site.line);
    }
  }
}

int Block::barrier(Combine combine, bool predicate, const char* what, Site site) {
  Barrier& b = barrier_;
  if (finished_ > 0) {
    stop("is in %s at %s:%d, which %u threads of its block do not reach: they have returned", what, site.file,
         site.line, finished_);
  }
  if (b.arrived == 0) {
    b = {0, combine, false, true, 0, what, site, current_};
  } else if (!same(b.site, site) || b.combine != combine) {
    stop("is in %s at %s:%d, but thread %u waits in %s at %s:%d", what, site.file, site.line, b.first, b.what,
         b.site.file, b.site.line);
  }
  b.any |= predicate;
  b.all &= predicate;
  b.count += predicate;
  char* const order = &barrier_order_[barriers_passed_ % 2];
  sanitizers::release(order);
  if (++b.arrived == size_) {
    barrier_result_ = combine == Combine::Or ? b.any : combine == Combine::And ? b.all : b.count;
    b.arrived = 0;
    ++barriers_passed_;
    for (unsigned t = 0; t < size_; ++t) wake(t);
  }
  suspend(what, site, 0);
  sanitizers::acquire(order);
  return barrier_result_;
}

void Block::collective(unsigned mask, const char* what, Site site, const void* in, void* out,
                       Exchange exchange) {
  Warp& warp = warps_[current_ / 32];
  const unsigned lane = current_ % 32;
  if (!(mask >> lane & 1))
    stop("is in %s at %s:%d with mask %#x, which it is not in", what, site.file, site.line, mask);
  mask &= warp.lanes;
  if (mask & warp.returned) {
    stop("is in %s at %s:%d with mask %#x, but lanes %#x have returned", what, site.file, site.line, mask,
         mask & warp.returned);
  }
  for (Meeting& m : warp.meetings) {
    if (m.mask != mask) continue;
    if (!same(m.site, site) || !same(m.what, what)) {
      stop("is in %s at %s:%d with mask %#x, but lanes %#x wait in %s at %s:%d with the same mask", what,
           site.file, site.line, mask, m.arrived, m.what, m.site.file, m.site.line);
    }
    join(m, in, out, exchange);
    return;
  }
  Meeting& m = warp.meetings.emplace_back();
  m = {mask, 0, what, site, {}, {}};
  join(m, in, out, exchange);
}

void Block::whole_warp(const char* what, Site site, const void* in, void* out, Exchange exchange) {
  const unsigned lanes = warps_[current_ / 32].lanes;
  if (lanes != ~0u)
    stop("is in %s at %s:%d, in a warp of %d threads", what, site.file, site.line, std::popcount(lanes));
  collective(lanes, what, site, in, out, exchange);
}

void Block::syncwarp(unsigned mask, Site site) {
  const unsigned kind = sync_kind(mask);
  char* const order = &warps_[current_ / 32].sync_order[2 * kind + current().syncs[kind]++ % 2];
  sanitizers::release(order);
  collective(mask, "__syncwarp", site, nullptr, nullptr, [](const auto&, const auto&, unsigned) {});
  sanitizers::acquire(order);
}

void Block::join(Meeting& meeting, const void* in, void* out, Exchange exchange) {
  Warp& warp = warps_[current_ / 32];
  const unsigned lane = current_ % 32, base = current_ - lane;
  const char* const what = meeting.what;
  const Site site = meeting.site;
  const unsigned mask = meeting.mask;
  meeting.in[lane] = in;
  meeting.out[lane] = out;
  meeting.arrived |= 1u << lane;
  if (meeting.arrived == meeting.mask) {
    exchange(meeting.in, meeting.out, meeting.mask);
    for (unsigned left = meeting.mask; left; left &= left - 1) {
      wake(base + static_cast<unsigned>(std::countr_zero(left)));
    }
    meeting = warp.meetings.back();
    warp.meetings.pop_back();
  }
  suspend(what, site, mask);
}

void Block::copy_async(void* dst, const void* src, bool valid, Site site) {
  constexpr std::size_t kBytes = 16;
  check_alignment(dst, kBytes, "cp.async to", site);
  check_alignment(src, kBytes, "cp.async from", site);
  check_shared(dst, kBytes, "cp.async to", site);
  sanitizers::write(dst, kBytes);
  if (valid) sanitizers::read(src, kBytes);
  std::memset(dst, 0xff, kBytes);
  current().copies.push_back({dst, src, valid, current().groups});
}

void Block::copy_async_wait(unsigned groups_left) {
  Thread& thread = current();
  const auto first_pending = [&] { return thread.groups > groups_left ? thread.groups - groups_left : 0; }();
  std::size_t kept = 0;
  for (const Copy& copy : thread.copies) {
    if (copy.group >= first_pending) {
      thread.copies[kept++] = copy;
      continue;
    }
    sanitizers::write(copy.dst, 16);
    if (copy.valid) {
      std::memcpy(copy.dst, copy.src, 16);
    } else {
      std::memset(copy.dst, 0, 16);
    }
  }
  thread.copies.resize(kept);
}

}  // namespace rt::cuda::emu
