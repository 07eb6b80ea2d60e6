#include "rt/core/device_reader.h"

#include <algorithm>

#include "rt/core/device_api.h"
#include "rt/core/error.h"

namespace rt {

void DeviceReader::open(Device device) {
  if (stream_) return;
  stream_.emplace(device);
  for (PinnedBuffer& piece : pieces_) piece = PinnedBuffer(kPiece);
}

void DeviceReader::read(const TensorView& view, const Use& use) {
  RT_CHECK(view.is_contiguous(), "read of {}: not contiguous", view.shape);
  const std::size_t bytes = view.nbytes();
  if (view.device.kind == DeviceKind::Cpu) {
    if (bytes > 0) use(0, {view.data, bytes});
    return;
  }
  open(view.device);
  const DeviceApi& api = device_api(view.device.kind);
  std::array<std::optional<Event>, 2> filled;
  const auto fill = [&](std::size_t at) {
    if (at >= bytes) return;
    const std::size_t slot = at / kPiece % 2;
    api.copy(pieces_[slot].data(), view.data + at, std::min(kPiece, bytes - at), stream_->native());
    filled[slot].emplace(stream_->record());
  };
  fill(0);
  for (std::size_t at = 0; at < bytes; at += kPiece) {
    fill(at + kPiece);
    const std::size_t slot = at / kPiece % 2;
    filled[slot]->synchronize();
    filled[slot].reset();
    use(at, {pieces_[slot].data(), std::min(kPiece, bytes - at)});
  }
}

}  // namespace rt
