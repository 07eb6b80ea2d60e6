#pragma once
#include <array>
#include <functional>
#include <optional>
#include <span>

#include "rt/core/buffer.h"
#include "rt/core/pinned_buffer.h"
#include "rt/core/stream.h"

namespace rt {

// Reads tensors of a device piece by piece, through two fixed pieces of page-locked memory and on a stream of
// its own: one is filled while the other is used, and whatever else the device does goes on. What is read
// must be complete, and nobody may change it meanwhile. On the CPU the pieces are the tensor's own memory.
class DeviceReader {
 public:
  static constexpr std::size_t kPiece = std::size_t{8} << 20;

  // In order; `at`: bytes of the tensor before the piece. Contiguous.
  using Use = std::function<void(std::size_t at, std::span<const std::byte> piece)>;
  void read(const TensorView& view, const Use& use);

 private:
  void open(Device device);

  std::array<PinnedBuffer, 2> pieces_;
  std::optional<Stream> stream_;
};

}  // namespace rt
