#include "rt/core/upload_ring.h"

#include <cstring>

#include "cuda/emulation/streams.h"
#include "tests/cuda/graphs.h"

namespace rt {
namespace {

namespace emu = cuda::emu;
using testing::all_are;
using testing::bytes_of;

constexpr int kSlots = 2, kSends = 40;
constexpr std::int64_t kBytes = 64;

// Sends kSends pieces of bytes 1, 2, ... and gathers them on the device; which of them got lost on the way.
std::vector<int> lost(Device device) {
  const Stream stream(device);
  const Tensor gathered({kSends, kBytes}, DType::U8, device);
  UploadRing ring(device, kBytes, kSlots);
  for (int i = 0; i < kSends; ++i) {
    std::memset(ring.next(), i + 1, kBytes);
    const TensorView sent(ring.send(stream), {1, kBytes}, DType::U8, device);
    copy(gathered.view.slice(0, i, i + 1), sent, stream);
    ring.release(stream);
  }
  stream.synchronize();
  std::vector<int> wrong;
  for (int i = 0; i < kSends; ++i) {
    if (!all_are(bytes_of(gathered.view.slice(0, i, i + 1)), static_cast<unsigned char>(i + 1)))
      wrong.push_back(i);
  }
  return wrong;
}

TEST(UploadRing, NothingIsLost) {
  EXPECT_EQ(lost(Device::cpu()), std::vector<int>{});
  RT_NEEDS_GRAPHS();
  EXPECT_EQ(lost(Device::cuda(0)), std::vector<int>{});
  if (!emu::set_haste) return;
  emu::set_haste(emu::Haste::None);
  EXPECT_EQ(lost(Device::cuda(0)), std::vector<int>{});
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    emu::set_haste(emu::Haste::Random, seed);
    EXPECT_EQ(lost(Device::cuda(0)), std::vector<int>{}) << seed;
  }
  emu::set_haste(emu::Haste::AtOnce);
}

TEST(UploadRing, TheHostWaitsOnlyForASlot) {
  if (!emu::set_haste) GTEST_SKIP() << "of the emulation";
  const Stream stream(Device::cuda(0));
  UploadRing ring(Device::cuda(0), kBytes, kSlots);
  emu::set_haste(emu::Haste::None);
  const emu::HostStops before = emu::host_stops();
  for (int i = 0; i < kSlots; ++i) {
    ring.next();
    ring.send(stream);
    ring.release(stream);
  }
  EXPECT_EQ(emu::host_stops().events, before.events);
  ring.next();
  EXPECT_EQ(emu::host_stops().events, before.events + 1);
  EXPECT_EQ(emu::host_stops().waits, before.waits);
  EXPECT_EQ(emu::host_stops().pageable, before.pageable);
  emu::set_haste(emu::Haste::AtOnce);
}

TEST(UploadRing, MeasureCountsWhatLiveTakes) {
  RT_NEEDS_GRAPHS();
  const UploadRing counted(Device::cuda(0), 300, 3, MemoryMode::Measure);
  EXPECT_EQ(counted.device_bytes(), 3u * 512);
  if (!emu::device_bytes) return;
  const std::size_t before = emu::device_bytes();
  const UploadRing live(Device::cuda(0), 300, 3);
  EXPECT_EQ(emu::device_bytes() - before, counted.device_bytes());
}

}  // namespace
}  // namespace rt
