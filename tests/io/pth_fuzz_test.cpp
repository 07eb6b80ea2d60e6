#include "tests/io/fuzz_support.h"
#include "tests/io/pth_builder.h"

namespace rt::io::test {
namespace {

std::string small_file(bool zip64) {
  Pickle p;
  p.ordered_dict().op("q\x01(");
  p.text("a").tensor("FloatStorage", "0", 6, 0, {2, 3}, {3, 1});
  p.text("b").op("q\x02").tensor("BFloat16Storage", "1", 6, 1, {2, 2}, {1, 2});
  p.text("n").op("K\x05").op("u");
  const std::vector<float> a{1, 2, 3, 4, 5, 6};
  return make_zip(pth_entries(p.stop(), {{"0", storage_of(a)}, {"1", std::string(12, 'x')}}), zip64);
}

TEST(PthFuzz, EveryTruncationIsRefused) {
  for (const bool zip64 : {false, true}) expect_no_truncation_loads(parse_pth, small_file(zip64), 1);
}

TEST(PthFuzz, TruncatedGoldenIsRefused) {
  expect_no_truncation_loads(parse_pth, slurp(golden("models/rwkv7_fp32/rwkv7.pth")), 4999);
}

// Each bit flipped, the extremes, and every opcode that does something.
std::vector<std::byte> interesting_values(std::byte original) {
  std::vector<std::byte> out{std::byte{0}, std::byte{0xff}};
  for (unsigned bit = 0; bit < 8; ++bit) out.push_back(original ^ static_cast<std::byte>(1u << bit));
  for (const char c : std::string("()}]tsuaeqrhjbRQc.NX\x85\x8a\x94"))
    out.push_back(static_cast<std::byte>(c));
  return out;
}

TEST(PthFuzz, ChangesOfEveryByteLoadValidlyOrAreRefused) {
  for (const bool zip64 : {false, true}) {
    auto bytes = exact_bytes(small_file(zip64));
    ASSERT_TRUE(loads_or_refuses(parse_pth, bytes));
    std::size_t refused = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto original = bytes[i];
      for (const auto v : interesting_values(original)) {
        bytes[i] = v;
        refused += loads_or_refuses(parse_pth, bytes) ? 0 : 1;
      }
      bytes[i] = original;
    }
    EXPECT_GT(refused, 1000u);
  }
}

// Damage to the structure of a real file: its pickle and its central directory.
TEST(PthFuzz, FlippedBytesOfTheGoldenLoadValidlyOrAreRefused) {
  const auto content = slurp(golden("models/rwkv7_fp32/rwkv7.pth"));
  auto bytes = exact_bytes(content);
  ASSERT_TRUE(loads_or_refuses(parse_pth, bytes));
  const std::size_t directory = content.rfind("PK\x05\x06") - 6000;
  const auto flip = [&](std::size_t i, unsigned mask) {
    bytes[i] ^= static_cast<std::byte>(mask);
    const bool loaded = loads_or_refuses(parse_pth, bytes);
    bytes[i] ^= static_cast<std::byte>(mask);
    return loaded;
  };
  std::size_t refused = 0;
  for (std::size_t n = 0; n < 400; ++n) {
    refused += flip(n * 17 % 7000, 1u << n % 8) ? 0 : 1;
    refused += flip(directory + n * 15 % (content.size() - directory), 0xffu) ? 0 : 1;
  }
  EXPECT_GT(refused, 300u);
}

}  // namespace
}  // namespace rt::io::test
