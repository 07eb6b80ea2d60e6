#include "rt/core/arena.h"

#include <gtest/gtest.h>

#include "rt/core/error.h"

namespace rt {
namespace {

TEST(Arena, MeasureAndLiveAgree) {
  const auto use = [](Arena& arena) {
    const auto outer = arena.mark();
    arena.alloc({3, 5}, DType::F32, "a");
    {
      const ArenaScope scope(arena);
      arena.alloc({100}, DType::F64, "b");
    }
    arena.alloc({7}, DType::U8, "c");
    arena.release(outer);
  };
  Arena plan("plan", Device::cpu());
  use(plan);
  Arena live("live", Device::cpu(), plan.high_water());
  use(live);
  EXPECT_EQ(live.high_water(), plan.high_water());
  EXPECT_EQ(live.used(), 0u);
  ASSERT_EQ(plan.peak().size(), 2u);
  EXPECT_EQ(plan.peak()[1].name, "b");
}

TEST(Arena, RefusesWhatThePlanDoesNotHold) {
  Arena live("saved", Device::cpu(), 256);
  live.alloc({64}, DType::F32, "fits");
  try {
    live.alloc({1}, DType::F32, "wkv7.y");
    FAIL() << "must throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Memory);
    EXPECT_NE(std::string(e.what()).find("wkv7.y"), std::string::npos);
  }
}

TEST(Arena, GuardBandsCatchAWritePastTheEnd) {
  Arena live("saved", Device::cpu(), 1 << 16);
  live.guard();
  const auto mark = live.mark();
  const TensorView v = live.alloc({5}, DType::F32, "short");
  v.as<float>()[4] = 1;
  live.release(mark);
  const TensorView w = live.alloc({5}, DType::F32, "short");
  w.as<float>()[5] = 1;
  EXPECT_THROW(live.release(mark), Error);
}

TEST(Arena, KeepsWhatItIsAskedToKeep) {
  for (const bool guarded : {false, true}) {
    Arena live("saved", Device::cpu(), 1 << 16);
    if (guarded) live.guard();
    live.alloc({3}, DType::F32, "below");
    const auto mark = live.mark();
    live.alloc({300}, DType::F32, "temporary");
    const TensorView a = live.alloc({70}, DType::F32, "a");
    live.alloc({10}, DType::F32, "temporary");
    const TensorView b = live.alloc({2, 3}, DType::F32, "b");
    for (int i = 0; i < 70; ++i) a.as<float>()[i] = static_cast<float>(i);
    for (int i = 0; i < 6; ++i) b.as<float>()[i] = static_cast<float>(-i);
    const std::size_t before = live.used();
    const TensorView views[] = {b, a};
    const auto kept = live.release_except(mark, views, "kept", rt::Stream(rt::Device::cpu()));
    EXPECT_LT(live.used(), before);
    EXPECT_EQ(kept[0].shape, (Shape{2, 3}));
    for (int i = 0; i < 70; ++i) EXPECT_EQ(kept[1].as<float>()[i], static_cast<float>(i));
    for (int i = 0; i < 6; ++i) EXPECT_EQ(kept[0].as<float>()[i], static_cast<float>(-i));
    live.release(mark);
  }
}

TEST(GradPool, PlacesTheSameInBothModesAndMergesHoles) {
  std::vector<std::ptrdiff_t> offsets[2];
  GradPool plan(Device::cpu());
  GradPool live(Device::cpu(), 4096);
  int which = 0;
  for (GradPool* pool : {&plan, &live}) {
    const TensorView a = pool->alloc({64}, DType::F32, "a");
    const TensorView b = pool->alloc({64}, DType::F32, "b");
    const TensorView c = pool->alloc({64}, DType::F32, "c");
    pool->free(a);
    pool->free(b);
    const TensorView d = pool->alloc({128}, DType::F32, "d");  // fits the merged hole exactly
    EXPECT_EQ(d.data, a.data);
    for (const auto& v : {b, c, d}) offsets[which].push_back(v.data - a.data);
    pool->free(c);
    pool->free(d);
    EXPECT_EQ(pool->live(), 0u);
    ++which;
  }
  EXPECT_EQ(offsets[0], offsets[1]);
  EXPECT_EQ(plan.high_water(), live.high_water());
  EXPECT_EQ(plan.high_water(), 768u);
}

}  // namespace
}  // namespace rt
