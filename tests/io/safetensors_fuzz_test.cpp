#include "tests/io/fuzz_support.h"

namespace rt::io::test {
namespace {

std::string small_file() {
  TempDir dir;
  std::vector<float> x{1, 2, 3, 4, 5, 6};
  std::vector<bf16> y(3);
  const std::vector<NamedTensor> tensors{named("w", x, {2, 3}), named("y", y, {3})};
  write_safetensors(dir / "a", tensors, {{"k", "v"}});
  return slurp(dir / "a");
}

TEST(SafetensorsFuzz, EveryTruncationIsRefused) {
  expect_no_truncation_loads(parse_safetensors, small_file(), 1);
}

TEST(SafetensorsFuzz, EveryChangeOfOneHeaderByteLoadsValidlyOrIsRefused) {
  const auto content = small_file();
  auto bytes = exact_bytes(content);
  ASSERT_TRUE(loads_or_refuses(parse_safetensors, bytes));
  std::uint64_t header;
  std::memcpy(&header, content.data(), 8);
  std::size_t loaded = 0, refused = 0;
  for (std::size_t i = 0; i < 8 + header; ++i) {
    const auto original = bytes[i];
    for (int v = 0; v < 256; ++v) {
      if (static_cast<std::byte>(v) == original) continue;
      bytes[i] = static_cast<std::byte>(v);
      ++(loads_or_refuses(parse_safetensors, bytes) ? loaded : refused);
    }
    bytes[i] = original;
  }
  EXPECT_GT(loaded, 0u);  // names and metadata may change
  EXPECT_GT(refused, loaded);
}

}  // namespace
}  // namespace rt::io::test
