#include "data/world_tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "data/byte_trie.h"
#include "data/python_literal.h"
#include "rt/data/prepare.h"
#include "rt/data/token_set.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

const std::string kVocabulary = std::string(RT_SOURCE_DIR) + "/tests/golden/tokenizer/rwkv_vocab_cut.txt";

TEST(PythonLiteral, ReadsWhatPythonWrites) {
  const std::pair<const char*, std::string> good[] = {
      {"'a b'", "a b"},
      {"\"it's\"", "it's"},
      {R"('\'"\\')", "'\"\\"},
      {R"('\t\n\r\x0b\x00')", std::string("\t\n\r\x0b\0", 5)},
      {R"('\xe9\u20ac\U0001f600')", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
      {"'\xC3\xA9'", "\xC3\xA9"},
      {R"(b'\xe9\x80a')",
       "\xE9\x80"
       "a"},
  };
  for (const auto& [text, bytes] : good) {
    std::string out;
    EXPECT_TRUE(read_python_literal(text, out)) << text << ": " << out;
    EXPECT_EQ(out, bytes) << text;
  }
  for (const char* bad : {"", "b", "'", "a", "'a\"", "'a'b'", "'\\'", R"('\q')", R"('\x4')", R"('\ud800')",
                          R"(b'\u20ac')", R"('\U00110000')"}) {
    std::string out;
    EXPECT_FALSE(read_python_literal(bad, out)) << bad;
    EXPECT_FALSE(out.empty());
  }
}

TEST(ByteTrie, FindsTheLongestAndSaysWhetherMoreCouldCome) {
  std::mt19937_64 random(5);
  std::vector<std::string> strings;
  for (int i = 0; i < 3000; ++i) {
    std::string s;
    for (std::size_t n = 1 + random() % 7; n > 0; --n)
      s += static_cast<char>(random() % 5 + (n % 2 ? 0 : 253));
    strings.push_back(s);
  }
  std::sort(strings.begin(), strings.end());
  strings.erase(std::unique(strings.begin(), strings.end()), strings.end());
  std::vector<std::pair<std::string_view, std::int32_t>> pairs;
  for (std::size_t i = 0; i < strings.size(); ++i)
    pairs.emplace_back(strings[i], static_cast<std::int32_t>(i));
  const ByteTrie trie(pairs);
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (std::size_t n = 1 + random() % 9; n > 0; --n)
      text += static_cast<char>(random() % 5 + (n % 2 ? 0 : 253));
    ByteTrie::Match expected;
    for (std::size_t k = 0; k < strings.size(); ++k) {
      const std::string& s = strings[k];
      if (text.compare(0, s.size(), s) == 0 && s.size() > expected.length) {
        expected = {static_cast<std::int32_t>(k), static_cast<std::uint32_t>(s.size()), expected.open};
      }
      if (s.size() > text.size() && s.compare(0, text.size(), text) == 0) expected.open = true;
    }
    const ByteTrie::Match found = trie.longest(text);
    EXPECT_EQ(found.id, expected.id);
    EXPECT_EQ(found.length, expected.length);
    EXPECT_EQ(found.open, expected.open);
  }
}

TEST(WorldTokenizer, HasTheVocabularyOfItsModels) {
  const auto t = open_tokenizer(kVocabulary);
  EXPECT_EQ(t->type(), "rwkv_world");
  EXPECT_EQ(t->vocab_size() % 64, 0);
  EXPECT_EQ(t->decode_bytes(0), "");  // the end of a document
  EXPECT_EQ(t->decode_bytes(98), "a");
  EXPECT_EQ(t->decode_bytes(261), "\n\n");
  EXPECT_EQ(t->encode("a\n\n"), (std::vector<std::int32_t>{98, 261}));
}

std::string single_bytes() {
  std::string text;
  char line[32];
  for (int b = 0; b < 256; ++b) {
    std::snprintf(line, sizeof(line), "%d b'\\x%02x' 1\n", b + 1, static_cast<unsigned>(b));
    text += line;
  }
  return text;
}

TEST(WorldTokenizer, BadVocabulariesAreRefusedWithTheirLine) {
  const std::string bytes = single_bytes();
  EXPECT_EQ(read_world_vocabulary(bytes + "300 'ab' 2\n", "v.txt")->encode("xab"),
            (std::vector<std::int32_t>{'x' + 1, 300}));
  const std::pair<std::string, const char*> bad[] = {
      {bytes + "257 'ab' 3\n", "v.txt:257: the token has 2 bytes, the line says 3"},
      {bytes + "257 'ab'\n", "v.txt:257: expected"},
      {bytes + "257\n", "v.txt:257: expected"},
      {bytes + "x 'ab' 2\n", "v.txt:257: expected"},
      {bytes + "257 'ab 2\n", "v.txt:257: 'ab is not a Python literal"},
      {bytes + "256 'ab' 2\n", "v.txt:257: id 256 comes after id 256"},
      {bytes + "257 '' 0\n", "v.txt:257: the token has 0"},
      {bytes + "257 'ab' 2\n258 'ab' 2\n", "v.txt: the token \"ab\" has two ids"},
      {bytes.substr(0, bytes.size() - 14), "v.txt: the byte 255 is no token"},
  };
  for (const auto& [text, said] : bad) {
    expect_contains(error_of([&, t = text] { read_world_vocabulary(t, "v.txt"); }), said);
  }
}

// A long vocabulary lies beside the index, pinned by its hash.
TEST(WorldTokenizer, TokenDataHoldsTheWholeVocabulary) {
  const TempDir tmp;
  write_file(tmp / "a.txt", "User: hi\n\nAssistant: na\xC3\xAFve");
  const auto t = open_tokenizer(kVocabulary);
  prepare({tmp / "a.txt"}, tmp / "set", *t, {});
  ASSERT_TRUE(std::filesystem::exists(tmp / "set" / "tokenizer.json"));
  {
    const TokenSet set(tmp / "set");
    EXPECT_EQ(set.tokenizer().fingerprint(), t->fingerprint());
    EXPECT_EQ(set.document_text(0), read_text(tmp / "a.txt"));
    EXPECT_EQ(open_tokenizer((tmp / "set").string())->to_json(), t->to_json());
  }
  patch_byte(tmp / "set" / "tokenizer.json", 1000, '!');
  expect_contains(error_of([&] { TokenSet(tmp / "set"); }), "tokenizer.json: checksum mismatch");
  std::filesystem::remove(tmp / "set" / "tokenizer.json");
  expect_contains(error_of([&] { TokenSet(tmp / "set"); }), "tokenizer.json: is missing");
}

TEST(OpenTokenizer, FindsWhatADirectoryHolds) {
  const TempDir tmp;
  const auto t = open_tokenizer(kVocabulary);
  std::filesystem::create_directories(tmp / "model");
  expect_contains(error_of([&] { open_tokenizer((tmp / "model").string()); }, Exit::Config),
                  "holds no tokenizer");
  std::filesystem::copy(kVocabulary, tmp / "model" / "rwkv_vocab_v20230424.txt");
  EXPECT_EQ(open_tokenizer((tmp / "model").string())->fingerprint(), t->fingerprint());
  write_file(tmp / "model" / "tokenizer.json", R"({"type":"bytes"})");
  EXPECT_EQ(open_tokenizer((tmp / "model").string())->type(), "bytes");
  expect_contains(error_of([&] { open_tokenizer((tmp / "none").string()); }, Exit::Config), "neither bytes");
  write_file(tmp / "x.bin", "\x01\x02");
  expect_contains(error_of([&] { open_tokenizer((tmp / "x.bin").string()); }), "is no tokenizer");
  write_file(tmp / "empty.json", "");
  expect_contains(error_of([&] { open_tokenizer((tmp / "empty.json").string()); }), "is empty");
  write_file(tmp / "cut.tiktoken", "YQ== 0\nYg== x\n");
  expect_contains(error_of([&] { open_tokenizer((tmp / "cut.tiktoken").string()); }),
                  "cut.tiktoken:2: expected");
  write_file(tmp / "mine.tiktoken", "YQ== 0\nYg== 1\n");
  expect_contains(error_of([&] { open_tokenizer((tmp / "mine.tiktoken").string()); }), "begin with one of");
}

}  // namespace
}  // namespace rt::data
