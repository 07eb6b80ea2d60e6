#include "rt/data/mix.h"

#include <map>
#include <set>

#include "rt/data/open_source.h"
#include "rt/data/token_set.h"
#include "tests/data/foreign_util.h"
#include "tests/data/token_set_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

// Documents that say where they come from: "<letter><number>" and as many dots as the number.
std::string text_of(char letter, int i) {
  std::string text = letter + std::to_string(i);
  return text.append(static_cast<std::size_t>(i % 17), '.');
}

void write_documents(const fs::path& dir, char letter, int n) {
  const auto bytes = make_byte_tokenizer();
  TokenSetWriter writer(dir, *bytes, {.shard_tokens = 100});
  for (int i = 0; i < n; ++i) {
    writer.begin_document();
    writer.append(bytes->encode(text_of(letter, i)));
  }
  writer.finish();
}

TEST(Mix, KeepsDocumentsWholeAndSharesExact) {
  const TempDir tmp;
  write_documents(tmp / "a", 'a', 300);
  write_documents(tmp / "b", 'b', 300);
  write_documents(tmp / "c", 'c', 300);
  const TokenSet a(tmp / "a"), b(tmp / "b"), c(tmp / "c");
  const auto shares =
      mix({{&a, 1}, {&b, 4}, {&c, 2.5}}, tmp / "out", {.seed = 3, .writer = {}, .progress = {}});
  const TokenSet out(tmp / "out");
  out.verify();
  std::map<char, std::set<std::string>> seen;
  std::map<char, std::uint64_t> tokens;
  for (std::uint64_t d = 0; d < out.documents(); ++d) {
    const std::string text = out.document_text(d);
    EXPECT_EQ(text, text_of(text[0], std::stoi(text.substr(1))));
    EXPECT_TRUE(seen[text[0]].insert(text).second) << text << " twice";
    tokens[text[0]] += text.size();
  }
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_EQ(shares[0].tokens, tokens['a']);
  EXPECT_EQ(shares[1].tokens, tokens['b']);
  EXPECT_EQ(shares[2].tokens, tokens['c']);
  EXPECT_EQ(shares[1].documents, 300u);  // the first to run out
  EXPECT_EQ(shares[1].epochs, 1.0);
  // Never further from the share than a document, of which the longest has 20 tokens.
  EXPECT_NEAR(double(tokens['a']), double(tokens['b']) / 4, 20);
  EXPECT_NEAR(double(tokens['c']), double(tokens['b']) / 4 * 2.5, 20 * 2.5);
  EXPECT_NE(out.document_text(0), "a0");  // not in the sources' order
}

TEST(Mix, TakesDocumentsAgainForAWantedSize) {
  const TempDir tmp;
  write_documents(tmp / "a", 'a', 50);
  write_documents(tmp / "b", 'b', 50);
  const TokenSet a(tmp / "a"), b(tmp / "b");
  const std::uint64_t wanted = 3 * a.size();
  const auto shares = mix({{&a, 2}, {&b, 1}}, tmp / "out", {.tokens = wanted, .writer = {}, .progress = {}});
  const TokenSet out(tmp / "out");
  EXPECT_GE(out.size(), wanted);
  EXPECT_LT(out.size(), wanted + 20);
  EXPECT_GT(shares[0].epochs, 1.8);
  EXPECT_LE(shares[1].epochs, 1.1);
  std::map<std::string, int> times;
  for (std::uint64_t d = 0; d < out.documents(); ++d) ++times[out.document_text(d)];
  for (int i = 0; i < 50; ++i) {
    EXPECT_GE(times[text_of('a', i)], 1) << i;  // a whole epoch before anything is there again
    EXPECT_LE(times[text_of('a', i)], 3) << i;
  }
}

TEST(Mix, EqualCallsWriteEqualBytes) {
  const TempDir tmp;
  write_documents(tmp / "a", 'a', 40);
  write_documents(tmp / "b", 'b', 60);
  const TokenSet a(tmp / "a"), b(tmp / "b");
  const auto bytes = [&](const char* name, std::uint64_t seed) {
    mix({{&a, 1}, {&b, 1}}, tmp / name, {.seed = seed, .writer = {}, .progress = {}});
    return read_text(tmp / name / "shard-00000.rtok") + read_text(tmp / name / "index.json");
  };
  const std::string first = bytes("x", 1);
  EXPECT_EQ(bytes("y", 1), first);
  EXPECT_NE(bytes("z", 2), first);
}

TEST(Mix, ForeignSourcesAndMistakes) {
  const TempDir tmp;
  write_documents(tmp / "a", 'a', 10);
  const TokenSet a(tmp / "a");
  write_file(tmp / "m.idx", MegatronIndex{8, 2, {2, 0, 3}, {0, 1, 2, 3}}.text());
  write_file(tmp / "m.bin", packed<std::uint16_t>({'m', '0', 'm', '1', '.'}));
  const auto m = open_source(tmp / "m", &a.tokenizer());
  const auto shares = mix({{&a, 1}, {m.get(), 1}}, tmp / "out", {.writer = {}, .progress = {}});
  EXPECT_EQ(shares[1].tokens, 5u);
  EXPECT_EQ(shares[1].documents, 2u);  // an empty document is none
  const SizedTokenizer other(300);
  const auto wrong = open_source(tmp / "m", &other);
  const auto what = [&](const std::vector<MixPart>& parts, Exit code) {
    const std::string message =
        error_of([&] { mix(parts, tmp / "no", {.writer = {}, .progress = {}}); }, code);
    EXPECT_FALSE(fs::exists(tmp / "no"));
    return message;
  };
  expect_contains(what({{&a, 1}, {wrong.get(), 1}}, Exit::Data), "was tokenized with sized");
  expect_contains(what({{&a, 0}}, Exit::Config), "not a positive number");
  what({}, Exit::Config);
}

}  // namespace
}  // namespace rt::data
