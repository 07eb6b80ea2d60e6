#include "rt/data/convert.h"

#include "rt/data/open_source.h"
#include "rt/data/token_set.h"
#include "tests/data/foreign_util.h"
#include "tests/data/token_set_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

TEST(Convert, WritesMegatronByteForByteAndBack) {
  const TempDir tmp;
  const auto bytes = make_byte_tokenizer();
  const Written w = write_set(tmp / "set", *bytes, {.shard_tokens = 50}, {5, 1, 70'000, 3});
  const TokenSet set(tmp / "set");
  write_megatron(set, tmp / "out" / "x", false);
  EXPECT_EQ(read_text(tmp / "out" / "x.bin"), packed<std::uint16_t>(w.ids));
  EXPECT_EQ(read_text(tmp / "out" / "x.idx"),
            (MegatronIndex{8, 2, {5, 1, 70'000, 3}, {0, 1, 2, 3, 4}}.text()));
  const auto foreign = open_source(tmp / "out" / "x", bytes.get());
  foreign->verify();
  TokenSetWriter writer(tmp / "back", *bytes, {.shard_tokens = 50});
  append_documents(*foreign, 0, foreign->documents(), writer);
  writer.finish();
  for (const char* file : {"shard-00000.rtok", "shard-01400.rtok", "index.json"}) {
    EXPECT_EQ(read_text(tmp / "back" / file), read_text(tmp / "set" / file)) << file;
  }
}

TEST(Convert, WideVocabularyAndEmptyDocuments) {
  const TempDir tmp;
  const SizedTokenizer wide(70'000);
  const std::vector<std::int32_t> ids{69'999, 1, 65'536};
  write_file(tmp / "a.idx", MegatronIndex{4, 4, {2, 0, 1}, {0, 1, 2, 3}}.text());
  write_file(tmp / "a.bin", packed<std::int32_t>(ids));
  write_megatron(*open_source(tmp / "a", &wide), tmp / "b", false);
  EXPECT_EQ(read_text(tmp / "b.bin"), read_text(tmp / "a.bin"));
  EXPECT_EQ(read_text(tmp / "b.idx"), read_text(tmp / "a.idx"));
}

TEST(Convert, ReplacesNothingUnaskedAndLeavesNothingHalf) {
  const TempDir tmp;
  write_set(tmp / "set", *make_byte_tokenizer(), {}, {5});
  const TokenSet set(tmp / "set");
  write_file(tmp / "x.bin", "old");
  expect_contains(error_of([&] { write_megatron(set, tmp / "x", false); }), "x.bin: exists");
  EXPECT_EQ(read_text(tmp / "x.bin"), "old");
  write_file(tmp / "x.idx.partial", "what a killed run left");
  write_megatron(set, tmp / "x", true);
  EXPECT_EQ(open_source(tmp / "x", &set.tokenizer())->size(), 5u);
  EXPECT_FALSE(fs::exists(tmp / "x.idx.partial"));
  EXPECT_FALSE(fs::exists(tmp / "x.bin.partial"));
  const SizedTokenizer narrow(3);  // the source turns out to be damaged on the way
  const auto bad = open_source(tmp / "x", &narrow);
  error_of([&] { write_megatron(*bad, tmp / "y", false); });
  for (const char* file : {"y.bin", "y.idx", "y.bin.partial", "y.idx.partial"}) {
    EXPECT_FALSE(fs::exists(tmp / file)) << file;
  }
}

}  // namespace
}  // namespace rt::data
