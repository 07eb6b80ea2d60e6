// The golden files against every implementation.
#include <gtest/gtest.h>

#include <cstring>

#include "rt/core/parallel.h"
#include "rt/train/verify.h"

namespace rt {
namespace {

namespace fs = std::filesystem;

constexpr VerifyOptions kRef{Impl::Ref, DType::F64}, kCpu{Impl::Cpu, DType::F32},
    kBf16{Impl::Cpu, DType::BF16};

fs::path golden(const std::string& path) { return fs::path(RT_SOURCE_DIR) / "tests/golden" / path; }

void expect_good(const fs::path& path, const VerifyOptions& options) {
  const VerifyResult result = verify(path, options);
  EXPECT_EQ(result.failures(), 0u) << path << "\n" << describe(result);
  EXPECT_GE(result.lines.size(), 8u);
}

// The models are too small for several threads to pay.
class VerifyGolden : public ::testing::Test {
 protected:
  VerifyGolden() { set_num_threads(1); }
  ~VerifyGolden() override { set_num_threads(threads_); }
  int threads_ = num_threads();
};

TEST_F(VerifyGolden, OpFilesOnEveryImplementation) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(golden("ops"))) {
    ++files;
    expect_good(entry.path(), kRef);
    expect_good(entry.path(), kCpu);
  }
  EXPECT_GE(files, 11);
}

TEST_F(VerifyGolden, ModelsInDoublePrecision) {
  expect_good(golden("models/rwkv7_fp32"), kRef);
  expect_good(golden("models/rwkv7_bf16"), kRef);
}

TEST_F(VerifyGolden, ModelsInSinglePrecision) {
  expect_good(golden("models/rwkv7_fp32"), kCpu);
  expect_good(golden("models/rwkv7_bf16"), kCpu);
}

TEST_F(VerifyGolden, ThreadsDoNotMoveABit) {
  const fs::path model = golden("models/rwkv7_fp32");
  const VerifyResult one = verify(model, kCpu);
  set_num_threads(3);
  const VerifyResult three = verify(model, kCpu);
  ASSERT_EQ(one.computed.size(), three.computed.size());
  for (std::size_t i = 0; i < one.computed.size(); ++i) {
    const TensorView &a = one.computed[i].second.view, &b = three.computed[i].second.view;
    EXPECT_EQ(std::memcmp(a.data, b.data, a.nbytes()), 0) << one.computed[i].first;
  }
}

TEST_F(VerifyGolden, ModelInBf16) { expect_good(golden("models/rwkv7_bf16"), kBf16); }

TEST_F(VerifyGolden, TrainingInDoublePrecision) { expect_good(golden("train/rwkv7.safetensors"), kRef); }

TEST_F(VerifyGolden, TrainingInSinglePrecision) { expect_good(golden("train/rwkv7.safetensors"), kCpu); }

}  // namespace
}  // namespace rt
