// Tensors of a device, read beside what else it does.
#include "rt/core/device_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "rt/core/host.h"
#include "rt/core/rng.h"
#include "tests/support/needs_device.h"

namespace rt::testing {
namespace {

TEST(DeviceReader, GivesAllPiecesInOrder) {
  RT_NEEDS_DEVICE();
  constexpr std::size_t kPiece = DeviceReader::kPiece;
  DeviceReader reader;
  for (const Device device : {Device::cuda(0), Device::cpu()}) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, kPiece, kPiece + 1, 3 * kPiece - 7}) {
      Tensor all({static_cast<std::int64_t>(bytes)}, DType::U8);
      for (std::size_t i = 0; i < bytes; i += 61)
        all.view.as<std::uint8_t>()[i] = Rng{3, bytes}.bits(i) & 255;
      const Tensor there = copy_to(device, all.view);
      std::vector<std::byte> found;
      reader.read(there.view, [&](std::size_t at, std::span<const std::byte> piece) {
        EXPECT_EQ(at, found.size());
        EXPECT_TRUE(device.kind == DeviceKind::Cpu || piece.size() <= kPiece);
        found.insert(found.end(), piece.begin(), piece.end());
      });
      ASSERT_EQ(found.size(), bytes);
      EXPECT_TRUE(bytes == 0 || std::memcmp(found.data(), all.view.data, bytes) == 0);
    }
  }
}

// The next read does not find what the last one has left on its way.
TEST(DeviceReader, GoesOnAfterAnError) {
  RT_NEEDS_DEVICE();
  const auto numbers = [](std::uint8_t value) {
    const Tensor all({static_cast<std::int64_t>(2 * DeviceReader::kPiece)}, DType::U8);
    std::memset(all.view.data, value, all.view.nbytes());
    return copy_to(Device::cuda(0), all.view);
  };
  const Tensor first = numbers(1), second = numbers(2);
  DeviceReader reader;
  const DeviceReader::Use fails = [](std::size_t, std::span<const std::byte>) {
    throw std::runtime_error("disk");
  };
  EXPECT_THROW(reader.read(first.view, fails), std::runtime_error);
  reader.read(second.view, [](std::size_t, std::span<const std::byte> piece) {
    EXPECT_EQ(piece.front(), std::byte{2});
    EXPECT_EQ(piece.back(), std::byte{2});
  });
}

}  // namespace
}  // namespace rt::testing
