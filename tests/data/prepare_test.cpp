#include "rt/data/prepare.h"

#include "rt/data/token_set.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

std::vector<std::string> documents_of(const fs::path& dir) {
  const TokenSet set(dir);
  set.verify();
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < set.documents(); ++i) texts.push_back(set.document_text(i));
  return texts;
}

using Texts = std::vector<std::string>;

TEST(Prepare, OneDocumentPerFileInSortedOrder) {
  const TempDir tmp;
  write_file(tmp / "in" / "b.txt", "second");
  write_file(tmp / "in" / "a" / "z.md", "first\n");
  write_file(tmp / "in" / "c.text", "third\r\n");
  write_file(tmp / "in" / "empty.txt", "");
  write_file(tmp / "in" / ".hidden.txt", "no");
  write_file(tmp / "in" / ".git" / "x.txt", "no");
  write_file(tmp / "in" / "picture.png", "no");
  const PrepareReport report = prepare({tmp / "in"}, tmp / "out", "bytes", {});
  EXPECT_EQ(documents_of(tmp / "out"), (Texts{"first\n", "second", "third\r\n"}));
  EXPECT_EQ(report.files, 4u);
  EXPECT_EQ(report.skipped_files, 1u);
  EXPECT_EQ(report.documents, 3u);
  EXPECT_EQ(report.empty_documents, 1u);
  EXPECT_EQ(report.tokens, 19u);
  EXPECT_EQ(report.bytes, 19u);
}

TEST(Prepare, InputsKeepTheirGivenOrderAndNamedFilesAreAlwaysText) {
  const TempDir tmp;
  write_file(tmp / "z.cpp", "int z;");
  write_file(tmp / "a.txt", "a");
  prepare({tmp / "z.cpp", tmp / "a.txt"}, tmp / "out", "bytes", {});
  EXPECT_EQ(documents_of(tmp / "out"), (Texts{"int z;", "a"}));
}

TEST(Prepare, SeparatorLineEndsADocument) {
  const TempDir tmp;
  write_file(tmp / "a.txt", "one\ntwo\n---\nthree\n---x\n---\r\n---\nfour\n---");
  PrepareOptions options;
  options.separator = "---";
  const PrepareReport report = prepare({tmp / "a.txt"}, tmp / "out", "bytes", options);
  EXPECT_EQ(documents_of(tmp / "out"), (Texts{"one\ntwo\n", "three\n---x\n", "four\n"}));
  EXPECT_EQ(report.empty_documents, 1u);
}

TEST(Prepare, JsonLinesWithBadOnesCountedAndListed) {
  const TempDir tmp;
  write_file(tmp / "a.jsonl",
             "\xEF\xBB\xBF{\"text\": \"one\"}\n"
             "\n"
             "{\"text\": \"tw\\u00e9\\n\", \"id\": 3}\r\n"
             "{\"text\": \n"
             "[1]\n"
             "{\"body\": \"x\"}\n"
             "{\"text\": 5}\n"
             "{\"text\": \"\xFF\"}\n"
             "{\"text\": \"\"}\n"
             "{\"text\": \"last\"}");
  PrepareOptions options;
  const PrepareReport report = prepare({tmp / "a.jsonl"}, tmp / "out", "bytes", options);
  EXPECT_EQ(documents_of(tmp / "out"), (Texts{"one\n", "tw\xC3\xA9\n", "last\n"}));
  EXPECT_EQ(report.bad_lines, 5u);
  EXPECT_EQ(report.empty_documents, 1u);
  ASSERT_EQ(report.first_bad_lines.size(), 5u);
  const std::vector<std::pair<std::string, std::string>> expected = {{":4", "not valid JSON"},
                                                                     {":5", "not a JSON object"},
                                                                     {":6", "no field \"text\""},
                                                                     {":7", "is a number"},
                                                                     {":8", "not valid JSON"}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(report.first_bad_lines[i].where, (tmp / "a.jsonl").string() + expected[i].first);
    expect_contains(report.first_bad_lines[i].why, expected[i].second);
  }
  options.strict = true;
  expect_contains(error_of([&] { prepare({tmp / "a.jsonl"}, tmp / "strict", "bytes", options); }),
                  "a.jsonl:4: ");
  EXPECT_FALSE(fs::exists(tmp / "strict"));
  EXPECT_FALSE(fs::exists(tmp / "strict.partial"));
}

TEST(Prepare, JsonFieldAndNewlineOptions) {
  const TempDir tmp;
  write_file(tmp / "a.ndjson", "{\"story\": \"x\"}\n");
  PrepareOptions options;
  options.field = "story";
  options.end_with_newline = false;
  prepare({tmp / "a.ndjson"}, tmp / "out", "bytes", options);
  EXPECT_EQ(documents_of(tmp / "out"), Texts{"x"});
  options.field = "text";
  expect_contains(error_of([&] { prepare({tmp / "a.ndjson"}, tmp / "none", "bytes", options); }),
                  "all 1 lines are bad");
}

TEST(Prepare, ManyBadLinesAreCountedButListedUpToTheLimit) {
  const TempDir tmp;
  std::string text = "{\"text\":\"ok\"}\n";
  for (int i = 0; i < 50; ++i) text += "x\n";
  write_file(tmp / "a.jsonl", text);
  const PrepareReport report = prepare({tmp / "a.jsonl"}, tmp / "out", "bytes", {});
  EXPECT_EQ(report.bad_lines, 50u);
  EXPECT_EQ(report.first_bad_lines.size(), PrepareReport::kMaxListed);
}

TEST(Prepare, CharsBuildsTheVocabularyFirst) {
  const TempDir tmp;
  write_file(tmp / "a.txt", "ba");
  write_file(tmp / "b.jsonl", "{\"text\": \"\xC3\xA9\"}\n");
  prepare({tmp / "a.txt", tmp / "b.jsonl"}, tmp / "out", "chars", {});
  const TokenSet set(tmp / "out");
  EXPECT_EQ(set.vocab_size(), 4);  // \n a b é
  EXPECT_EQ(set.tokenizer().encode("\nab\xC3\xA9"), (std::vector<std::int32_t>{0, 1, 2, 3}));
  // A given vocabulary must hold every character; the file and the place are named.
  write_file(tmp / "c.txt", "abz");
  const std::string what = error_of([&] { prepare({tmp / "c.txt"}, tmp / "c", set.tokenizer(), {}); });
  expect_contains(what, "c.txt: character 'z' (U+007A) at byte 2");
  prepare({tmp / "a.txt"}, tmp / "d", set.tokenizer(), {});
  EXPECT_EQ(TokenSet(tmp / "d").tokenizer_fingerprint(), set.tokenizer_fingerprint());
}

TEST(Prepare, InvalidUtf8NamesFileAndByte) {
  const TempDir tmp;
  std::string text((1 << 20) + 10, 'a');  // behind the border of a piece
  text += "\xC3(";
  write_file(tmp / "a.txt", text);
  expect_contains(error_of([&] { prepare({tmp / "a.txt"}, tmp / "out", "chars", {}); }),
                  "a.txt: invalid UTF-8 (byte 0xc3) at byte 1048586");
  prepare({tmp / "a.txt"}, tmp / "out", "bytes", {});
  EXPECT_EQ(documents_of(tmp / "out"), Texts{text});
}

TEST(Prepare, LongDocumentsAreCutBetweenCharactersOnly) {
  const TempDir tmp;
  for (const std::size_t shift : {0u, 1u, 2u, 3u}) {
    std::string text(shift, 'a');
    while (text.size() < (1u << 20) + 100) text += "\xF0\x9F\x98\x80";
    write_file(tmp / "a.txt", text);
    PrepareOptions options;
    options.writer.overwrite = true;
    prepare({tmp / "a.txt"}, tmp / "out", "chars", options);
    EXPECT_EQ(documents_of(tmp / "out"), Texts{text});
  }
}

TEST(Prepare, OutputIsBitDeterministic) {
  const TempDir tmp;
  for (int i = 0; i < 20; ++i)
    write_file(tmp / "in" / (std::to_string(i * 7919 % 31) + ".txt"), std::string(100, 'a' + i));
  PrepareOptions options;
  options.writer.shard_tokens = 300;
  prepare({tmp / "in"}, tmp / "one", "chars", options);
  prepare({tmp / "in"}, tmp / "two", "chars", options);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(tmp / "one")) {
    EXPECT_EQ(read_text(entry.path()), read_text(tmp / "two" / entry.path().filename().string()));
    ++files;
  }
  EXPECT_EQ(files, 8);
  EXPECT_EQ(TokenSet(tmp / "one").fingerprint(), TokenSet(tmp / "two").fingerprint());
}

TEST(Prepare, ProgressEndsAtTheTotal) {
  const TempDir tmp;
  write_file(tmp / "a.txt", std::string(9 << 20, 'x'));
  write_file(tmp / "b.txt", "y");
  std::vector<std::uint64_t> seen;
  PrepareOptions options;
  options.progress = [&](const PrepareProgress& p) {
    seen.push_back(p.bytes_done);
    EXPECT_EQ(p.bytes_total, 2 * ((9u << 20) + 1));  // two passes
  };
  prepare({tmp / "a.txt", tmp / "b.txt"}, tmp / "out", "chars", options);
  ASSERT_GE(seen.size(), 2u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 2 * ((9u << 20) + 1));
}

TEST(Prepare, FileSystemErrorsNameThePath) {
  const TempDir tmp;
  write_file(tmp / "a.txt", "x");
  write_file(tmp / "file", "x");
  expect_contains(error_of([&] { prepare({tmp / "a.txt"}, tmp / "file", "bytes", {}); }), "not a directory");
  expect_contains(error_of([&] { prepare({tmp / "a.txt"}, (tmp / "file") / "out", "bytes", {}); }),
                  "file/out");
  const std::string endless(5000, 'x');
  error_of([&] { prepare({tmp / endless}, tmp / "out", "bytes", {}); });
}

TEST(Prepare, BadInputsGiveOneClearLine) {
  const TempDir tmp;
  fs::create_directories(tmp / "nothing");
  write_file(tmp / "empty.txt", "");
  write_file(tmp / "a.txt.xz", "x");
  write_file(tmp / "a.txt.gz", "x");
  expect_contains(error_of([&] { prepare({tmp / "absent"}, tmp / "out", "bytes", {}); }),
                  "absent: no such file");
  expect_contains(error_of([&] { prepare({tmp / "nothing"}, tmp / "out", "bytes", {}); }), "no input files");
  expect_contains(error_of([&] { prepare({tmp / "empty.txt"}, tmp / "out", "bytes", {}); }), "empty");
  expect_contains(error_of([&] { prepare({tmp / "empty.txt"}, tmp / "out", "chars", {}); }), "empty");
  expect_contains(error_of([&] { prepare({tmp / "a.txt.xz"}, tmp / "out", "bytes", {}); }), "unpack");
  expect_contains(error_of([&] { prepare({tmp / "a.txt.gz"}, tmp / "out", "bytes", {}); }),
                  "a.txt.gz: truncated: the gzip data stops in the middle, at byte 1");
  error_of([&] { prepare({tmp / "empty.txt"}, tmp / "out", "bpe", {}); }, Exit::Config);
  EXPECT_FALSE(fs::exists(tmp / "out"));
  EXPECT_FALSE(fs::exists(tmp / "out.partial"));
}

}  // namespace
}  // namespace rt::data
