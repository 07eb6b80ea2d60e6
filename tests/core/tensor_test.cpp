#include "rt/core/tensor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rt/core/buffer.h"
#include "rt/core/error.h"

namespace rt {
namespace {

TEST(TensorView, SlicesAndReshapes) {
  const Tensor t({2, 3, 4}, DType::F32);
  for (std::int64_t i = 0; i < 24; ++i) t.view.as<float>()[i] = static_cast<float>(i);
  const TensorView row = t.view.slice(0, 1, 2);
  EXPECT_EQ(row.shape, (Shape{1, 3, 4}));
  EXPECT_EQ(row.as<float>()[0], 12.0f);
  EXPECT_TRUE(row.reshape({12}).is_contiguous());
  EXPECT_FALSE(t.view.slice(1, 0, 2).is_contiguous());
  EXPECT_THROW(t.view.slice(1, 2, 4), Error);
  EXPECT_THROW(t.view.reshape({5}), Error);
  EXPECT_THROW(t.view.as<double>(), Error);
}

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(static_cast<float>(bf16(1.0f)), 1.0f);
  EXPECT_EQ(static_cast<float>(bf16(1.0f + 0x1p-8f)), 1.0f);                // a tie goes to even
  EXPECT_EQ(static_cast<float>(bf16(1.0f + 3 * 0x1p-8f)), 1.0f + 0x1p-6f);  // and the other way
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(NAN))));
  EXPECT_EQ(static_cast<float>(bf16(-INFINITY)), -INFINITY);
}

TEST(Error, OneLineWithValues) {
  try {
    fail(Exit::Data, "{}: token {} >= vocab {}.", "shard 12", 65536, 65536);
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "shard 12: token 65536 >= vocab 65536.");
    EXPECT_EQ(static_cast<int>(e.code()), 3);
  }
}

TEST(Device, AsksForWhatIsThere) {
  EXPECT_EQ(parse_device("cpu"), Device::cpu());
  EXPECT_THROW(parse_device("gpu"), Error);
  EXPECT_THROW(parse_device("cuda:x"), Error);
  if (cuda_device_count() == 0) {
    EXPECT_EQ(parse_device("auto"), Device::cpu());
    EXPECT_THROW(parse_device("cuda:0"), Error);
  }
}

}  // namespace
}  // namespace rt
