#include "rt/core/arena.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>

#include "rt/core/device_api.h"
#include "rt/core/error.h"

namespace rt {
namespace {

// Base of the addresses handed out while measuring: non-null, so that views count as present, and in the
// first page, which is never mapped, so that touching one faults at once for small offsets.
constexpr std::uintptr_t kMeasureBase = 256;

std::size_t round_up(std::size_t bytes) { return padded_bytes(std::max<std::size_t>(bytes, 1)); }

constexpr int kGuardByte = 0xa5;

std::byte* address(MemoryMode mode, const Buffer& buffer, std::size_t offset) {
  if (mode == MemoryMode::Live) return buffer.data() + offset;
  return reinterpret_cast<std::byte*>(kMeasureBase + offset);
}

// On the CPU only: elsewhere the fill would not be in the order of the stream that uses the memory.
void poison([[maybe_unused]] const Buffer& buffer, [[maybe_unused]] std::size_t offset,
            [[maybe_unused]] std::size_t bytes) {
#ifndef NDEBUG
  if (buffer.device().kind != DeviceKind::Cpu) return;
  device_api(DeviceKind::Cpu)
      .fill(buffer.data() + offset, 0xff, bytes, nullptr);  // NaN in every floating format
#endif
}

// Towards lower addresses. Devices do not copy between ranges that overlap, so a short slide goes in pieces.
void slide(std::byte* to, const std::byte* from, std::size_t bytes, const Stream& stream) {
  const DeviceApi& api = device_api(stream.device().kind);
  const auto distance = static_cast<std::size_t>(from - to);
  const std::size_t piece = stream.device().kind == DeviceKind::Cpu ? bytes : distance;
  if (distance == 0) return;
  for (std::size_t done = 0; done < bytes; done += piece)
    api.copy(to + done, from + done, std::min(piece, bytes - done), stream.native());
}

}  // namespace

TensorView untouchable(Shape shape, DType dtype, Device device) {
  return {reinterpret_cast<void*>(kMeasureBase), shape, dtype, device};
}

Arena::Arena(std::string name, Device device)
    : name_(std::move(name)), device_(device), mode_(Mode::Measure) {}

Arena::Arena(std::string name, Device device, std::size_t capacity)
    : name_(std::move(name)), device_(device), mode_(Mode::Live), buffer_(device, capacity) {
  poison(buffer_, 0, capacity);
}

void Arena::fill(std::size_t offset, int byte, std::size_t bytes) const {
  device_api(device_.kind).fill(buffer_.data() + offset, byte, bytes, nullptr);
}

TensorView Arena::alloc(Shape shape, DType dtype, std::string_view name) {
  const std::size_t exact = static_cast<std::size_t>(shape.numel()) * size_of(dtype);
  const std::size_t bytes = round_up(exact) + (guarded_ ? kAlignment : 0);
  if (mode_ == Mode::Live && offset_ + bytes > buffer_.bytes()) {
    fail(Exit::Memory, "arena {}: {} needs {} bytes at {}, but the plan holds {}", name_, name, bytes,
         offset_, buffer_.bytes());
  }
  const TensorView view(address(mode_, buffer_, offset_), shape, dtype, device_);
  if (guarded_) fill(offset_ + exact, kGuardByte, bytes - exact);
  offset_ += bytes;
  if (mode_ == Mode::Measure) records_.push_back({std::string(name), bytes});
  if (guarded_) records_.push_back({std::string(name), exact});
  if (offset_ > high_water_) {
    high_water_ = offset_;
    if (mode_ == Mode::Measure) peak_ = records_;
  }
  return view;
}

void Arena::release(Mark mark) {
  assert(mark.offset <= offset_);
  if (guarded_) check_guards(mark);
  if (mode_ == Mode::Live) poison(buffer_, mark.offset, offset_ - mark.offset);
  if (mode_ == Mode::Measure || guarded_) records_.resize(mark.records);
  offset_ = mark.offset;
}

void Arena::check_guards(Mark mark) const {
  const DeviceApi& api = device_api(device_.kind);
  std::vector<std::byte> band(2 * kAlignment);
  api.synchronize(device_.index);
  std::size_t at = mark.offset;
  for (std::size_t i = mark.records; i < records_.size(); ++i) {
    const std::size_t end = at + round_up(records_[i].bytes) + kAlignment;
    band.resize(end - at - records_[i].bytes);
    api.copy(band.data(), buffer_.data() + at + records_[i].bytes, band.size(), nullptr);
    api.synchronize(device_.index);
    if (std::any_of(band.begin(), band.end(), [](std::byte b) { return b != std::byte{kGuardByte}; }))
      fail(Exit::Failure, "arena {}: {} was written past its end", name_, records_[i].name);
    at = end;
  }
}

bool Arena::contains(const TensorView& view, Mark above) const {
  return view.data >= address(mode_, buffer_, above.offset) && view.data < address(mode_, buffer_, offset_);
}

void Arena::guard() {
  RT_CHECK(mode_ == Mode::Live && offset_ == 0, "arena {}: guards need a live, empty arena", name_);
  guarded_ = true;
  fill(0, 0xff, buffer_.bytes());
}

std::vector<TensorView> Arena::release_except(Mark mark, std::span<const TensorView> views,
                                              std::string_view name, const Stream& stream) {
  std::vector<std::size_t> order(views.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return views[a].data < views[b].data; });
  if (guarded_) check_guards(mark);
  const std::size_t end = offset_;
  offset_ = mark.offset;
  if (mode_ == Mode::Measure || guarded_) records_.resize(mark.records);
  std::vector<TensorView> kept(views.size());
  for (const std::size_t i : order) {
    // A destination never reaches a source that is still to be moved: both go upwards without overlap. With
    // guards on the destination's band could, but bands are written only over what has been moved already.
    const bool guarded = guarded_;
    guarded_ = false;
    kept[i] = alloc(views[i].shape, views[i].dtype, name);
    if (mode_ == Mode::Live) slide(kept[i].data, views[i].data, views[i].nbytes(), stream);
    guarded_ = guarded;
    if (guarded_) {
      stream.synchronize();
      fill(static_cast<std::size_t>(kept[i].data - buffer_.data()) + views[i].nbytes(), kGuardByte,
           round_up(views[i].nbytes()) - views[i].nbytes() + kAlignment);
      offset_ += kAlignment;
      records_.push_back({std::string(name), views[i].nbytes()});
    }
  }
  if (mode_ == Mode::Live) poison(buffer_, offset_, end - offset_);
  return kept;
}

GradPool::GradPool(Device device) : device_(device), mode_(MemoryMode::Measure) {
  holes_[0] = std::numeric_limits<std::size_t>::max();
}

GradPool::GradPool(Device device, std::size_t capacity)
    : device_(device), mode_(MemoryMode::Live), buffer_(device, capacity) {
  holes_[0] = std::numeric_limits<std::size_t>::max();
  poison(buffer_, 0, capacity);
}

TensorView GradPool::alloc(Shape shape, DType dtype, std::string_view name) {
  const std::size_t bytes = round_up(static_cast<std::size_t>(shape.numel()) * size_of(dtype));
  auto best = holes_.end();
  for (auto it = holes_.begin(); it != holes_.end(); ++it) {
    if (it->second >= bytes && (best == holes_.end() || it->second < best->second)) best = it;
  }
  const std::size_t offset = best->first;
  if (mode_ == MemoryMode::Live && offset + bytes > buffer_.bytes()) {
    fail(Exit::Memory, "gradient pool: {} needs {} bytes at {}, but the plan holds {}", name, bytes, offset,
         buffer_.bytes());
  }
  const std::size_t left =
      best->second == std::numeric_limits<std::size_t>::max() ? best->second : best->second - bytes;
  holes_.erase(best);
  if (left) holes_[offset + bytes] = left;
  live_[offset] = bytes;
  high_water_ = std::max(high_water_, offset + bytes);
  return {address(mode_, buffer_, offset), shape, dtype, device_};
}

void GradPool::free(const TensorView& view) {
  const auto base = reinterpret_cast<std::uintptr_t>(address(mode_, buffer_, 0));
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(view.data) - base;
  const auto found = live_.find(offset);
  RT_CHECK(found != live_.end(), "gradient pool: freeing what it did not allocate");
  std::size_t bytes = found->second;
  live_.erase(found);
  if (mode_ == MemoryMode::Live) poison(buffer_, offset, bytes);
  auto next = holes_.lower_bound(offset);
  if (next != holes_.end() && next->first == offset + bytes) {
    const bool endless = next->second == std::numeric_limits<std::size_t>::max();
    bytes = endless ? next->second : bytes + next->second;
    next = holes_.erase(next);
  }
  if (next != holes_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      const bool endless = bytes == std::numeric_limits<std::size_t>::max();
      previous->second = endless ? bytes : previous->second + bytes;
      return;
    }
  }
  holes_[offset] = bytes;
}

}  // namespace rt
