#include "rt/data/prepare.h"
#include "rt/data/token_set.h"
#include "tests/data/prepare_test_util.h"

// How the work is cut and by how many threads it is done must not be seen in what comes out.
namespace rt::data {
namespace {
namespace fs = std::filesystem;

struct Cutting {
  int threads;
  std::size_t block_bytes, whole_document;
};
const Cutting kCuttings[] = {{1, 1 << 20, 8 << 20}, {2, 1 << 20, 8 << 20}, {3, 700, 1500},
                             {8, 64, 64},           {8, 4096, 1 << 20},    {1, 1, 1},
                             {2, 333, 30'000}};

PrepareOptions cut(const Cutting& c, PrepareOptions options) {
  options.threads = c.threads;
  options.block_bytes = c.block_bytes;
  options.whole_document = c.whole_document;
  return options;
}

TEST(PrepareBlocks, EveryCuttingGivesTheSameBytesAndReport) {
  const TempDir tmp;
  write_odd_inputs(tmp / "in");
  for (const char* type : {"bytes", "chars"}) {
    for (const bool separated : {true, false}) {
      PrepareOptions options;
      options.writer.overwrite = true;
      options.writer.shard_tokens = 77'777;
      if (separated) options.separator = "---";
      const PrepareReport first = prepare({tmp / "in"}, tmp / "first", type, options);
      for (const Cutting& c : kCuttings) {
        if (c.block_bytes == 1 && type == std::string("chars")) continue;  // slow, and nothing new
        SCOPED_TRACE(std::to_string(c.threads) + " threads, blocks of " + std::to_string(c.block_bytes));
        const PrepareReport report = prepare({tmp / "in"}, tmp / "again", type, cut(c, options));
        EXPECT_TRUE(files_of(tmp / "first") == files_of(tmp / "again"));
        EXPECT_EQ(report.documents, first.documents);
        EXPECT_EQ(report.empty_documents, first.empty_documents);
        EXPECT_EQ(report.bad_lines, first.bad_lines);
        ASSERT_EQ(report.first_bad_lines.size(), PrepareReport::kMaxListed);
        for (std::size_t i = 0; i < report.first_bad_lines.size(); ++i) {
          EXPECT_EQ(report.first_bad_lines[i].where, first.first_bad_lines[i].where);
          EXPECT_EQ(report.first_bad_lines[i].why, first.first_bad_lines[i].why);
        }
      }
    }
  }
}

TEST(PrepareBlocks, PackedInputsGiveTheDocumentsOfPlainOnes) {
  const TempDir tmp;
  const std::string lines = odd_jsonl(7, 400, 300), text = odd_text(8, 50'000);
  write_file(tmp / "a.jsonl", lines);
  write_file(tmp / "a.JSONL.GZ", gzip(lines.substr(0, 9999)) + gzip(lines.substr(9999)));
  write_file(tmp / "a.ndjson.zst", zstd(lines));
  write_file(tmp / "b.txt", text);
  write_file(tmp / "b.gz", gzip(text));
  write_file(tmp / "b.text.zstd", zstd(text));
  PrepareOptions options;
  options.writer.overwrite = true;
  prepare({tmp / "a.jsonl", tmp / "b.txt"}, tmp / "plain", "bytes", options);
  prepare({tmp / "a.JSONL.GZ", tmp / "b.gz"}, tmp / "gzip", "bytes", options);
  prepare({tmp / "a.ndjson.zst", tmp / "b.text.zstd"}, tmp / "zstd", "bytes", options);
  EXPECT_TRUE(files_of(tmp / "plain") == files_of(tmp / "gzip"));
  EXPECT_TRUE(files_of(tmp / "plain") == files_of(tmp / "zstd"));
  // The place of a bad line is counted in the unpacked text.
  write_file(tmp / "bad.jsonl.gz", gzip("{\"text\": \"x\"}\n{"));
  const PrepareReport report = prepare({tmp / "bad.jsonl.gz"}, tmp / "bad", "bytes", options);
  ASSERT_EQ(report.first_bad_lines.size(), 1u);
  EXPECT_EQ(report.first_bad_lines[0].where, (tmp / "bad.jsonl.gz").string() + ":2");
}

// Of several mistakes the first one in the input is told, whichever thread is first.
TEST(PrepareBlocks, TheFirstMistakeIsTheOneThatIsTold) {
  const TempDir tmp;
  std::string lines;
  for (int i = 0; i < 500; ++i) lines += i % 100 == 99 ? "{\n" : "{\"text\": \"abc\"}\n";
  write_file(tmp / "a.jsonl", lines);
  std::string outside;
  for (int i = 0; i < 500; ++i) outside += i % 100 == 42 ? "{\"text\": \"az\"}\n" : "{\"text\": \"abc\"}\n";
  write_file(tmp / "b.jsonl", outside);
  write_file(tmp / "c.txt.gz", gzip(odd_text(1, 50'000)).substr(0, 300));
  write_file(tmp / "abc.txt", "abc\n");
  prepare({tmp / "abc.txt"}, tmp / "abc", "chars", {});
  const TokenSet abc(tmp / "abc");
  for (const Cutting& c : {kCuttings[0], kCuttings[3], kCuttings[4]}) {
    PrepareOptions options = cut(c, {});
    options.strict = true;
    expect_contains(error_of([&] { prepare({tmp / "a.jsonl"}, tmp / "out", "bytes", options); }),
                    "a.jsonl:100: not valid JSON near column 2");
    options.strict = false;
    expect_contains(error_of([&] { prepare({tmp / "b.jsonl"}, tmp / "out", abc.tokenizer(), options); }),
                    "b.jsonl:43: character 'z' (U+007A) at byte 1 is not");
    expect_contains(
        error_of([&] {
          prepare({tmp / "abc.txt", tmp / "c.txt.gz", tmp / "b.jsonl"}, tmp / "out", "bytes", options);
        }),
        "c.txt.gz: truncated: the gzip data stops in the middle, at byte 300");
    EXPECT_FALSE(fs::exists(tmp / "out") || fs::exists(tmp / "out.partial"));
  }
}

TEST(PrepareBlocks, ALongLineIsABadOneAndALongDocumentPasses) {
  const TempDir tmp;
  const std::string text(40'000, 'x');
  write_file(tmp / "a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"" + text + "\"}\n{\"text\": \"two\"}\n{");
  PrepareOptions options;
  options.writer.overwrite = true;
  for (const Cutting& c : kCuttings) {
    options = cut(c, options);
    options.longest_line = 40'012;
    EXPECT_EQ(prepare({tmp / "a.jsonl"}, tmp / "out", "bytes", options).bad_lines, 1u);
    EXPECT_EQ(TokenSet(tmp / "out").document_text(1), text + "\n");
    options.longest_line = 40'011;
    const PrepareReport report = prepare({tmp / "a.jsonl"}, tmp / "out", "bytes", options);
    EXPECT_EQ(TokenSet(tmp / "out").documents(), 2u);
    ASSERT_EQ(report.first_bad_lines.size(), 2u);
    expect_contains(report.first_bad_lines[0].where, "a.jsonl:2");
    expect_contains(report.first_bad_lines[0].why, "a line of 40012 bytes, longer than the 40011 allowed");
    expect_contains(report.first_bad_lines[1].where, "a.jsonl:4");
    options.strict = true;
    expect_contains(error_of([&] { prepare({tmp / "a.jsonl"}, tmp / "no", "bytes", options); }),
                    "a.jsonl:2: a line of 40012 bytes");
    options.strict = false;
  }
}

// The starts of documents are in memory until a shard is closed, so there is an end to them.
TEST(PrepareBlocks, AShardHoldsABoundedNumberOfDocuments) {
  const TempDir tmp;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "x\n---\n";
  write_file(tmp / "a.txt", text);
  PrepareOptions options;
  options.separator = "---";
  options.writer.shard_documents = 300;
  prepare({tmp / "a.txt"}, tmp / "out", "bytes", options);
  const TokenSet set(tmp / "out");
  set.verify();
  ASSERT_EQ(set.shards().size(), 4u);
  EXPECT_EQ(set.shards()[0].documents(), 300u);
  EXPECT_EQ(set.shards()[3].documents(), 100u);
  EXPECT_EQ(set.documents(), 1000u);
  for (const std::uint64_t i : {0u, 299u, 300u, 999u}) EXPECT_EQ(set.document_text(i), "x\n");
}

}  // namespace
}  // namespace rt::data
