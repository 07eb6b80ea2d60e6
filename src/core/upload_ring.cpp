#include "rt/core/upload_ring.h"

#include "rt/core/device_api.h"
#include "rt/core/error.h"

namespace rt {
UploadRing::UploadRing(Device device, std::size_t slot_bytes, int slots, MemoryMode mode)
    : device_(device), slot_bytes_(padded_bytes(slot_bytes)), slots_(static_cast<std::size_t>(slots)) {
  RT_CHECK(slot_bytes > 0 && slots > 0, "upload ring: {} slots of {} bytes", slots, slot_bytes);
  at_ = slots_.size() - 1;
  std::byte *host = nullptr, *there = nullptr;
  if (mode == MemoryMode::Measure) {
    host = there = untouchable({static_cast<std::int64_t>(device_bytes())}, DType::U8).data;
  } else {
    there_ = Buffer(device, device_bytes());
    host = there = there_.data();
    if (device.kind != DeviceKind::Cpu) {
      copies_.emplace(device);
      pinned_ = PinnedBuffer(device_bytes());
      host = pinned_.data();
    }
  }
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].host = host + i * slot_bytes_;
    slots_[i].device = there + i * slot_bytes_;
  }
}

std::byte* UploadRing::next() {
  at_ = (at_ + 1) % slots_.size();
  Slot& slot = slots_[at_];
  if (slot.free) slot.free->synchronize();
  slot.free.reset();
  return slot.host;
}

std::byte* UploadRing::send(const Stream& stream) {
  const Slot& slot = slots_[at_];
  if (copies_) {
    device_api(device_.kind).copy(slot.device, slot.host, slot_bytes_, copies_->native());
    stream.wait(copies_->record());
  }
  return slot.device;
}

void UploadRing::release(const Stream& stream) {
  if (copies_) slots_[at_].free.emplace(stream.record());
}

}  // namespace rt
