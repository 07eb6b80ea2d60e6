// What the op suite does not reach: long runs of a token, vocabularies of several digits, unknown tokens.
#include "rt/ops/embedding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "rt/core/host.h"
#include "rt/core/rng.h"
#include "tests/support/needs_device.h"

namespace rt::testing {
namespace {

struct Lookup {
  Tensor tokens, weight, dy;
  Lookup(std::int64_t n, std::int64_t V, std::int64_t C, DType dtype)
      : tokens({1, n}, DType::I32), weight({V, C}, dtype), dy({1, n, C}, dtype) {
    for (std::int64_t i = 0; i < dy.view.numel(); ++i) {
      set_element(dy.view, i, Rng{5, 1}.uniform(static_cast<std::uint64_t>(i)) - 0.5);
    }
  }
  // On top of ones when accumulating.
  Tensor gradient(GradMode mode) const {
    const Device cuda = Device::cuda(0);
    const Tensor ids = copy_to(cuda, tokens.view), w = copy_to(cuda, weight.view), d = copy_to(cuda, dy.view);
    const Tensor start(weight.view.shape, DType::F32);
    for (std::int64_t i = 0; i < start.view.numel(); ++i) {
      set_element(start.view, i, mode == GradMode::Accumulate ? 1 : std::numeric_limits<double>::quiet_NaN());
    }
    const Tensor dw = copy_to(cuda, start.view);
    Workspace plan(cuda, Impl::Cuda);
    const EmbeddingArgs args{ids.view, w.view};
    cuda::embedding_backward(plan.ctx(), args, {}, {d.view}, {{dw.view, mode}});
    Workspace live(cuda, Impl::Cuda, 0, plan.scratch().high_water(), 0);
    cuda::embedding_backward(live.ctx(), args, {}, {d.view}, {{dw.view, mode}});
    live.ctx().stream.synchronize();
    return copy_to(Device::cpu(), dw.view);
  }
  std::vector<float> expected(GradMode mode) const {
    const std::int64_t C = weight.view.shape[1];
    std::vector<float> want(static_cast<std::size_t>(weight.view.numel()),
                            mode == GradMode::Accumulate ? 1.0f : 0.0f);
    for (std::int64_t i = 0; i < tokens.view.numel(); ++i) {
      const std::int64_t token = tokens.view.as<std::int32_t>()[i];
      for (std::int64_t c = 0; token >= 0 && token < weight.view.shape[0] && c < C; ++c) {
        want[static_cast<std::size_t>(token * C + c)] += static_cast<float>(element(dy.view, i * C + c));
      }
    }
    return want;
  }
};

void expect_exact(const Lookup& l, const char* what) {
  for (const GradMode mode : {GradMode::Overwrite, GradMode::Accumulate}) {
    const Tensor got = l.gradient(mode);
    const std::vector<float> want = l.expected(mode);
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(got.view.as<float>()[i], want[i]) << what << " element " << i;
    }
  }
}

// Sums in the order of the positions, to the bit, whatever the lengths of the runs.
TEST(EmbeddingOnCuda, GradientAddsInOrder) {
  RT_NEEDS_DEVICE();
  for (const DType dtype : {DType::F32, DType::BF16}) {
    Lookup runs(700, 9, 72, dtype);  // runs of 1, 32, 33, 64, 128, 129, 300 and the rest, mixed up
    std::vector<std::int32_t> ids;
    int token = 0;
    for (const int length : {1, 32, 33, 64, 128, 129, 300, 13}) {
      ids.insert(ids.end(), static_cast<std::size_t>(length), token++);
    }
    for (std::size_t i = 0; i < ids.size(); ++i)
      runs.tokens.view.as<std::int32_t>()[i] = ids[i * 331 % ids.size()];
    expect_exact(runs, "runs");
    Lookup odd(90, 3, 67, dtype);  // no whole vectors; one token
    for (int i = 0; i < 90; ++i) odd.tokens.view.as<std::int32_t>()[i] = 1;
    expect_exact(odd, "odd width");
  }
  Lookup wide(4500, 65536, 4, DType::F32);  // three digits, three tiles
  for (std::int64_t i = 0; i < 4500; ++i) {
    wide.tokens.view.as<std::int32_t>()[i] =
        static_cast<std::int32_t>(Rng{6, 2}.below(static_cast<std::uint64_t>(i), i % 3 == 0 ? 65536 : 200));
  }
  wide.tokens.view.as<std::int32_t>()[17] = 65535;
  expect_exact(wide, "wide");
}

TEST(EmbeddingOnCuda, UnknownTokensGiveNaNAndNoGradient) {
  RT_NEEDS_DEVICE();
  Lookup l(70, 64, 8, DType::F32);
  for (int i = 0; i < 70; ++i)
    l.tokens.view.as<std::int32_t>()[i] = i % 2 == 0 ? i % 64 : i % 4 == 1 ? -1 : 64;
  expect_exact(l, "unknown");
  const Device cuda = Device::cuda(0);
  const Tensor ids = copy_to(cuda, l.tokens.view), w = copy_to(cuda, l.weight.view),
               y(l.dy.view.shape, DType::F32, cuda);
  Workspace ws(cuda, Impl::Cuda, 0, 0, 0);
  cuda::embedding_forward(ws.ctx(), {ids.view, w.view}, {y.view});
  ws.ctx().stream.synchronize();
  const Tensor got = copy_to(Device::cpu(), y.view);
  for (std::int64_t i = 0; i < got.view.numel(); ++i)
    EXPECT_EQ(std::isnan(element(got.view, i)), i / 8 % 2 == 1) << i;
}

}  // namespace
}  // namespace rt::testing
