// Sources of more than 2^32 tokens. The files are holes but for their ends: they take no room and no time.
#include "data/hash.h"
#include "data/index_file.h"
#include "data/shard_format.h"
#include "rt/data/loader.h"
#include "rt/data/open_source.h"
#include "rt/data/token_set.h"
#include "tests/data/foreign_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

constexpr std::uint64_t kHuge = (std::uint64_t{1} << 32) + 12345;
const std::vector<std::int32_t> kLast{11, 22, 33, 44, 55};

// `head`, a hole, and `tail` at byte `at`.
void write_sparse(const fs::path& path, const std::string& head, std::uint64_t at, const std::string& tail) {
  write_file(path, head);
  fs::resize_file(path, at + tail.size());
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(at));
  file << tail;
}

void expect_end(const TokenSource& source, std::uint64_t size, std::uint64_t last_start) {
  ASSERT_EQ(source.size(), size);
  EXPECT_EQ(read_ids(source, size - 7, 7), (std::vector<std::int32_t>{0, 0, 11, 22, 33, 44, 55}));
  EXPECT_EQ(source.next_document(size - 9), last_start);
  EXPECT_EQ(source.previous_document(size - 1), last_start);
  EXPECT_EQ(source.next_document(last_start + 1), size);
  const Loader loader(source, {.seq_len = 4, .order = Order::Sequential, .document_resets = true});
  EXPECT_EQ(loader.rows(), (size - 1) / 4);
  const Batch batch = loader.at(loader.rows() - 1, 0);
  const std::uint64_t begin = (loader.rows() - 1) * 4;
  EXPECT_EQ(batch.tokens, read_ids(source, begin, 4));
  EXPECT_EQ(batch.targets, read_ids(source, begin + 1, 4));
}

TEST(HugeSource, MegatronReadsRightAtItsEnd) {
  const TempDir tmp;
  MegatronIndex index{1, 1, {}, {0, 3, 4}};  // u8: the smallest file of so many tokens
  const std::int32_t third = 1 << 30;
  index.lengths = {third, 2'000'000'000, 0, 0};
  const std::uint64_t before = std::uint64_t{third} + 2'000'000'000;
  index.lengths[2] = static_cast<std::int32_t>(kHuge - 5 - before);
  index.lengths[3] = 5;
  write_file(tmp / "x.idx", index.text());
  write_sparse(tmp / "x.bin", "", kHuge - 5, packed<std::uint8_t>(kLast));
  const SizedTokenizer tokenizer(256);
  expect_end(*open_source(tmp / "x", &tokenizer), kHuge, kHuge - 5);
  const SizedTokenizer narrow(50);
  expect_contains(error_of([&] { read_ids(*open_source(tmp / "x", &narrow), kHuge - 5, 5); }),
                  format("offset {}: token 55 >= vocab 50", kHuge - 1));
}

TEST(HugeSource, LlmcReadsRightAtItsEnd) {
  const TempDir tmp;
  const std::uint32_t each = 0x7fffffff;  // the most that a header of i32 can say
  for (const char* name : {"x_1.bin", "x_2.bin"}) {
    write_sparse(tmp / name, llmc_header(20240520, 1, each), 1024 + 2 * std::uint64_t{each}, "");
  }
  write_sparse(tmp / "x_3.bin", llmc_header(20240520, 1, 100), 1024 + 2 * 95, packed<std::uint16_t>(kLast));
  const SizedTokenizer tokenizer(65536);
  const std::uint64_t size = 2 * std::uint64_t{each} + 100;
  const auto source = open_source(tmp / "x_*.bin", &tokenizer);
  ASSERT_EQ(source->size(), size);
  ASSERT_GT(size, std::uint64_t{1} << 32);
  EXPECT_EQ(read_ids(*source, size - 6, 6), (std::vector<std::int32_t>{0, 11, 22, 33, 44, 55}));
  EXPECT_EQ(source->next_document(each), each);
  EXPECT_EQ(source->next_document(std::uint64_t{each} + 1), size - 100);
  EXPECT_EQ(source->previous_document(size - 1), size - 100);
}

// The shard's checksums are over its block table only until it is verified, so one can be written for a
// payload that is a hole.
TEST(HugeSource, ShardsReadRightAtTheirEnd) {
  const TempDir tmp;
  const auto bytes = make_byte_tokenizer();
  ShardHeader h{};
  std::memcpy(h.magic, kShardMagic, sizeof(kShardMagic));
  h.version = kShardVersion;
  h.token_bytes = 2;
  h.tokens = kHuge;
  h.documents = 2;
  h.fingerprint = bytes->fingerprint();
  h.vocab = 256;
  h.block = kShardBlock;
  h.checksum = xxh3(&h, sizeof(h) - 8);
  std::vector<std::uint64_t> table(shard_blocks(h), 0);
  table.push_back(xxh3(table.data(), 8 * table.size()));
  const std::uint64_t last_start = kHuge - 5;
  std::string tail = packed<std::uint16_t>(kLast);
  tail.resize(tail.size() + shard_starts_offset(h) - 2 * h.tokens);
  put(tail, std::uint64_t{0});
  put(tail, last_start);
  tail.append(reinterpret_cast<const char*>(table.data()), 8 * table.size());
  Index index;
  fs::create_directories(tmp / "set");
  write_sparse(tmp / "set" / "shard-00000.rtok", std::string(reinterpret_cast<const char*>(&h), sizeof(h)),
               sizeof(h) + 2 * last_start, tail);
  index.tokens = kHuge;
  index.documents = 2;
  index.shards.push_back({"shard-00000.rtok", kHuge, 2, xxh3(table.data(), 8 * table.size(), h.checksum)});
  write_index(tmp / "set", index, TokenizerRecord(*bytes));
  const TokenSet set(tmp / "set");
  expect_end(set, kHuge, last_start);
  std::uint64_t begin = 0, end = 0;
  set.document(1, begin, end);
  EXPECT_EQ(begin, last_start);
  EXPECT_EQ(end, kHuge);
}

}  // namespace
}  // namespace rt::data
