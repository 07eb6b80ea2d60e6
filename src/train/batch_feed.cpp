#include "rt/train/batch_feed.h"

#include <cstring>

#include "rt/core/device_api.h"
#include "rt/core/error.h"

namespace rt {
namespace {

std::size_t bytes_of(const TensorView& part) { return part ? padded_bytes(part.nbytes()) : 0; }

std::size_t packed_bytes(const BatchView& batch) {
  return bytes_of(batch.tokens) + bytes_of(batch.targets) + bytes_of(batch.reset);
}

// Where a batch's tensors lie in one piece of memory, which one copy moves.
BatchView packed(const BatchView& like, std::byte* memory, Device device) {
  const auto place = [&](const TensorView& part) -> TensorView {
    if (!part) return {};
    const TensorView view(memory, part.shape, part.dtype, device);
    memory += bytes_of(part);
    return view;
  };
  BatchView views;
  views.tokens = place(like.tokens);
  views.targets = place(like.targets);
  views.reset = place(like.reset);
  return views;
}

void put(const TensorView& to, const TensorView& from) {
  RT_CHECK(from.is_contiguous(), "batch: {} is not contiguous", from.shape);
  if (from) std::memcpy(to.data, from.data, from.nbytes());
}

}  // namespace

BatchView BatchFeed::give(const BatchView& batch) {
  if (ctx_.device.kind == DeviceKind::Cpu) return batch;
  const std::size_t bytes = packed_bytes(batch);
  if (!ring_ || ring_->slot_bytes() < bytes) {
    ring_ = std::make_unique<UploadRing>(ctx_.device, bytes, kAhead,
                                         ctx_.dry_run ? MemoryMode::Measure : MemoryMode::Live);
  }
  const TensorView block = ctx_.saved.alloc({static_cast<std::int64_t>(bytes)}, DType::U8, "batch");
  const BatchView there = packed(batch, block.data, ctx_.device);
  if (ctx_.dry_run) return there;
  const BatchView slot = packed(batch, ring_->next(), Device::cpu());
  put(slot.tokens, batch.tokens);
  put(slot.targets, batch.targets);
  put(slot.reset, batch.reset);
  const std::byte* const sent = ring_->send(ctx_.stream);
  device_api(ctx_.device.kind).copy(block.data, sent, bytes, ctx_.stream.native());
  ring_->release(ctx_.stream);
  return there;
}

}  // namespace rt
