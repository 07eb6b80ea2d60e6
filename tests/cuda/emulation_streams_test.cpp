// When the emulation does what streams are given: cuda/emulation/streams.h.
#include "cuda/emulation/streams.h"

#include <cstring>

#include "rt/core/error.h"
#include "tests/cuda/graphs.h"

namespace rt {
namespace {

namespace emu = cuda::emu;

class Streams : public ::testing::Test {
 protected:
  void SetUp() override { emu::set_haste(emu::Haste::None); }
  void TearDown() override { emu::set_haste(emu::Haste::AtOnce); }

  void fill(const Stream& stream, int at, int byte) {
    api_.fill(memory_.view.data + 8 * at, byte, 8, stream.native());
  }
  // Memory of an emulated device can be looked at without waiting.
  bool holds(int at, unsigned char byte) const {
    return std::count(bytes() + 8 * at, bytes() + 8 * (at + 1), byte) == 8;
  }
  unsigned char* bytes() const { return reinterpret_cast<unsigned char*>(memory_.view.data); }

  const DeviceApi& api_ = device_api(DeviceKind::Cuda);
  const Tensor memory_{{64}, DType::U8, Device::cuda(0)};
  const Stream a_{Device::cuda(0)}, b_{Device::cuda(0)};
};

TEST_F(Streams, WorkWaitsUntilTheHostDoes) {
  fill(a_, 0, 1);
  fill(b_, 1, 2);
  EXPECT_TRUE(holds(0, 0) && holds(1, 0));
  a_.synchronize();
  EXPECT_TRUE(holds(0, 1) && holds(1, 0));
  api_.synchronize(0);
  EXPECT_TRUE(holds(1, 2));
}

TEST_F(Streams, AnEventIsAPointInAStream) {
  fill(a_, 0, 1);
  const Event event = a_.record();
  fill(a_, 0, 2);
  EXPECT_FALSE(event.done());
  event.synchronize();
  EXPECT_TRUE(holds(0, 1) && event.done());
  event.synchronize();
  EXPECT_TRUE(holds(0, 1));
  a_.synchronize();
  EXPECT_TRUE(holds(0, 2));
}

TEST_F(Streams, AStreamWaitsForTheOther) {
  fill(a_, 0, 1);
  {
    const Event event = a_.record();  // gone before anything runs
    b_.wait(event);
  }
  fill(a_, 0, 3);
  copy(memory_.view.slice(0, 8, 16), memory_.view.slice(0, 0, 8), b_);
  b_.synchronize();
  EXPECT_TRUE(holds(0, 1) && holds(1, 1));
  a_.synchronize();
  EXPECT_TRUE(holds(0, 3));
}

TEST_F(Streams, WithoutAWaitOrderIsLuck) {
  fill(a_, 0, 1);
  copy(memory_.view.slice(0, 8, 16), memory_.view.slice(0, 0, 8), b_);
  b_.synchronize();
  EXPECT_TRUE(holds(1, 0));
  int early = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    fill(a_, 0, 0);
    emu::set_haste(emu::Haste::Random, seed);
    fill(a_, 0, 1);
    copy(memory_.view.slice(0, 8, 16), memory_.view.slice(0, 0, 8), b_);
    b_.synchronize();
    early += holds(1, 1);
  }
  EXPECT_GT(early, 5);
  EXPECT_LT(early, 35);
}

TEST_F(Streams, PageableMemoryIsStagedAndWaitedFor) {
  unsigned char host[8];
  std::memset(host, 5, 8);
  const emu::HostStops before = emu::host_stops();
  api_.copy(bytes(), host, 8, a_.native());
  std::memset(host, 6, 8);
  EXPECT_TRUE(holds(0, 0));
  api_.copy(host, bytes(), 8, a_.native());
  EXPECT_EQ(host[7], 5);
  const emu::HostStops after = emu::host_stops();
  EXPECT_EQ(after.pageable - before.pageable, 2);
  EXPECT_EQ(after.waits, before.waits);
}

TEST_F(Streams, PageLockedMemoryIsReadWhenTheCopyRuns) {
  auto* const host = static_cast<unsigned char*>(cuda::pinned_alloc(8));
  std::memset(host, 5, 8);
  const emu::HostStops before = emu::host_stops();
  api_.copy(bytes(), host, 8, a_.native());
  std::memset(host, 6, 8);
  EXPECT_EQ(emu::host_stops().pageable, before.pageable);
  a_.synchronize();
  EXPECT_TRUE(holds(0, 6));
  EXPECT_EQ(emu::host_stops().waits, before.waits + 1);
  cuda::pinned_free(host);
}

TEST_F(Streams, WhatEndsAStreamOrMemoryComesAfterItsWork) {
  {
    const Stream gone(Device::cuda(0));
    fill(gone, 0, 1);
  }
  EXPECT_TRUE(holds(0, 1));
  fill(a_, 0, 2);
  { const Buffer freed(Device::cuda(0), 8); }
  EXPECT_TRUE(holds(0, 2));
}

TEST_F(Streams, BytesOfTheDeviceAreCounted) {
  const std::size_t before = emu::device_bytes(), available = api_.free_memory(0);
  const Buffer more(Device::cuda(0), 1000);
  EXPECT_EQ(emu::device_bytes() - before, 1000u);
  EXPECT_EQ(available - api_.free_memory(0), 1000u);
  void* const pinned = cuda::pinned_alloc(8);
  EXPECT_EQ(emu::device_bytes() - before, 1000u);
  cuda::pinned_free(pinned);
}

TEST_F(Streams, AnErrorIsThrownByTheWaitAndEndsAllWork) {
  emu::put_off(a_.native(), [] { fail(Exit::Failure, "a kernel's error"); });
  fill(a_, 0, 1);
  fill(b_, 1, 1);
  EXPECT_THROW(a_.synchronize(), Error);
  api_.synchronize(0);
  EXPECT_TRUE(holds(0, 0) && holds(1, 0));
  fill(a_, 0, 2);
  a_.synchronize();
  EXPECT_TRUE(holds(0, 2));
}

}  // namespace
}  // namespace rt
