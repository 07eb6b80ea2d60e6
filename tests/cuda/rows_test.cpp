// What a communicator computes on the device: the bits of the host's, in every shape.
#include "rt/dist/rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "rt/core/host.h"
#include "tests/support/needs_device.h"

namespace rt {
namespace {

// (R, n) with n + 3 between rows, of numbers whose sum depends on its order.
Tensor numbers(std::int64_t R, std::int64_t n, DType dtype) {
  Tensor all({R, n + 3}, dtype);
  for (std::int64_t i = 0; i < all.view.numel(); ++i) {
    const double scale = std::ldexp(1.0, static_cast<int>(i * 5 % 23));
    set_element(all.view, i, static_cast<double>(i * 7919 % 20'011 - 10'005) * scale / 3);
  }
  return all;
}

TensorView columns(const Tensor& all) { return all.view.slice(1, 0, all.view.shape[1] - 3); }

bool same_bits(const TensorView& a, const TensorView& b) {
  const HostTensor x(a), y(b);
  return a.nbytes() == b.nbytes() && std::memcmp(x.view().data, y.view().data, a.nbytes()) == 0;
}

TEST(Rows, AreMergedOnTheDeviceAsOnTheHost) {
  RT_NEEDS_DEVICE();
  const Stream stream(Device::cuda(0));
  for (const DType dtype : {DType::F32, DType::BF16, DType::F64}) {
    const DType sum = dtype == DType::F64 ? DType::F64 : DType::F32;
    for (const std::int64_t R : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 25, 50, 64, 71, 113}) {
      for (const std::int64_t n : {1, 7, 256, 1003}) {
        const Tensor parts = numbers(R, n, dtype), there = copy_to(Device::cuda(0), parts.view);
        for (const dist::ReduceOp op : {dist::ReduceOp::Sum, dist::ReduceOp::Max}) {
          const Tensor want({n}, sum), got({n}, sum, Device::cuda(0));
          cpu::reduce_rows(columns(parts), want.view, op);
          dist::reduce_rows(columns(there), got.view, op, stream);
          stream.synchronize();
          EXPECT_TRUE(same_bits(want.view, got.view)) << name(dtype) << " (" << R << ", " << n << ")";
        }
      }
    }
  }
}

// Written out: what both of the above must be.
TEST(Rows, AreMergedInTheOrderOfATree) {
  const Tensor parts = numbers(7, 9, DType::F32);
  const Tensor got({9}, DType::F32);
  const Stream stream(Device::cpu());
  dist::reduce_rows(columns(parts), got.view, dist::ReduceOp::Sum, stream);
  for (std::int64_t i = 0; i < 9; ++i) {
    const auto v = [&](std::int64_t r) { return parts.view.as<float>()[r * 12 + i]; };
    EXPECT_EQ(got.view.as<float>()[i], ((v(0) + v(1)) + (v(2) + v(3))) + ((v(4) + v(5)) + v(6))) << i;
  }
}

TEST(Rows, AreRoundedOnTheDeviceAsOnTheHost) {
  RT_NEEDS_DEVICE();
  const Stream stream(Device::cuda(0));
  for (const std::int64_t R : {1, 3, 8}) {
    for (const std::int64_t n : {1, 7, 1003}) {
      const Tensor wide = numbers(R, n, DType::F32), there = copy_to(Device::cuda(0), wide.view);
      const Tensor want({R, n}, DType::BF16), got({R, n}, DType::BF16, Device::cuda(0));
      cpu::convert_rows(columns(wide), want.view);
      dist::convert_rows(columns(there), got.view, stream);
      stream.synchronize();
      EXPECT_TRUE(same_bits(want.view, got.view)) << R << " " << n;
      const Tensor back({R, n}, DType::F32), got_back({R, n}, DType::F32, Device::cuda(0));
      cpu::convert_rows(want.view, back.view);
      dist::convert_rows(got.view, got_back.view, stream);
      stream.synchronize();
      EXPECT_TRUE(same_bits(back.view, got_back.view)) << R << " " << n;
    }
  }
}

}  // namespace
}  // namespace rt
