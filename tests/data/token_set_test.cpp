#include "rt/data/token_set.h"

#include "data/index_file.h"
#include "data/shard_writer.h"
#include "tests/data/token_set_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

std::vector<std::int32_t> read_all(const TokenSource& s, std::uint64_t offset, std::size_t n) {
  std::vector<std::int32_t> out(n);
  s.read(offset, n, out.data());
  return out;
}

TEST(TokenSet, ReadsAcrossShardsWhatWasWritten) {
  const TempDir tmp;
  const auto bytes = make_byte_tokenizer();
  for (const std::uint64_t shard_tokens : {3u, 7u, 16u, 1000u}) {
    WriterOptions options{.shard_tokens = shard_tokens, .overwrite = true, .description = "test"};
    const Written w = write_set(tmp / "set", *bytes, options, {5, 0, 1, 40, 3, 0, 16});
    const TokenSet set(tmp / "set");
    ASSERT_EQ(set.size(), w.ids.size());
    EXPECT_EQ(set.documents(), w.starts.size());
    EXPECT_EQ(set.shards().size(), (w.ids.size() + shard_tokens - 1) / shard_tokens);
    EXPECT_EQ(set.description(), "test");
    EXPECT_EQ(set.tokenizer().type(), "bytes");
    EXPECT_EQ(read_all(set, 0, w.ids.size()), w.ids);
    for (std::size_t offset = 0; offset <= w.ids.size(); ++offset) {
      for (const std::size_t n : {0u, 1u, 8u}) {
        if (offset + n > w.ids.size()) continue;
        const auto begin = w.ids.begin() + static_cast<std::ptrdiff_t>(offset);
        EXPECT_EQ(read_all(set, offset, n),
                  std::vector<std::int32_t>(begin, begin + static_cast<std::ptrdiff_t>(n)));
      }
    }
    EXPECT_EQ(set.document_starts(0, set.size()), w.starts);
    std::int32_t none = 0;
    EXPECT_THROW(set.read(set.size(), 1, &none), Error);
    set.verify();
  }
}

TEST(TokenSet, DocumentStartsAgreeWithMemoryTokens) {
  const TempDir tmp;
  const Written w =
      write_set(tmp / "set", *make_byte_tokenizer(), {.shard_tokens = 11}, {5, 1, 40, 3, 16, 1});
  const TokenSet set(tmp / "set");
  const MemoryTokens memory(w.ids, w.starts, 256, set.tokenizer_fingerprint());
  const TokenRange set_range(set, 3, 50), memory_range(memory, 3, 50);
  for (std::uint64_t i = 0; i <= set.size(); ++i) {
    EXPECT_EQ(set.next_document(i), memory.next_document(i));
    EXPECT_EQ(set.previous_document(i), memory.previous_document(i));
  }
  for (std::uint64_t i = 0; i <= set_range.size(); ++i) {
    EXPECT_EQ(set_range.next_document(i), memory_range.next_document(i));
    EXPECT_EQ(set_range.previous_document(i), memory_range.previous_document(i));
  }
  EXPECT_EQ(set_range.previous_document(1), 0u);  // the first token of a range begins a document
  EXPECT_EQ(set_range.document_starts(0, 47), (std::vector<std::uint64_t>{0, 2, 3, 43, 46}));
}

TEST(TokenSet, DocumentTextAndBounds) {
  const TempDir tmp;
  const auto bytes = make_byte_tokenizer();
  {
    TokenSetWriter writer(tmp / "set", *bytes, {.shard_tokens = 4});
    for (const char* text : {"one\n", "second\n", "3\n"}) {
      writer.begin_document();
      writer.append(bytes->encode(text));
    }
    writer.finish();
  }
  const TokenSet set(tmp / "set");
  EXPECT_EQ(set.document_text(0), "one\n");
  EXPECT_EQ(set.document_text(1), "second\n");
  EXPECT_EQ(set.document_text(2), "3\n");
  error_of([&] { set.document_text(3); });
}

TEST(TokenSet, WideVocabularyUsesFourBytes) {
  const TempDir tmp;
  CharVocabulary v;
  std::string text;
  for (unsigned c = 0x10000; c < 0x10000 + 65537; ++c) {  // one more than fits in u16
    for (const unsigned shift : {18u, 12u, 6u, 0u}) {
      text += static_cast<char>((shift == 18 ? 0xF0 : 0x80) | ((c >> shift) & (shift == 18 ? 7u : 0x3Fu)));
    }
  }
  v.add(text);
  const auto t = v.build();
  ASSERT_EQ(t->vocab_size(), 65537);
  TokenSetWriter writer(tmp / "set", *t, {});
  const std::vector<std::int32_t> ids{0, 65536, 1, 65535};
  writer.append(ids);
  writer.finish();
  const TokenSet set(tmp / "set");
  EXPECT_EQ(set.shards()[0].token_bytes(), 4u);
  EXPECT_EQ(read_all(set, 0, 4), ids);
  set.verify();
}

TEST(TokenSet, EveryFlippedBitIsRefusedByNameAndRange) {
  const TempDir tmp;
  write_set(tmp / "set", *make_byte_tokenizer(), {.shard_tokens = 60}, {20, 33, 40});
  const auto check = [&](const std::string& name, bool at_open_only) {
    const fs::path path = tmp / "set" / name;
    const std::string good = read_text(path);
    for (std::size_t i = 0; i < good.size(); ++i) {
      patch_byte(path, i, static_cast<char>(good[i] ^ (1 << (i % 8))));
      const std::string what = error_of([&] {
        const TokenSet set(tmp / "set");
        ASSERT_FALSE(at_open_only) << "byte " << i;
        set.verify();
      });
      expect_contains(what, name);
      expect_contains(what, "bytes ");
      patch_byte(path, i, good[i]);
    }
  };
  check("shard-00000.rtok", false);
  check("shard-00001.rtok", false);
  check("index.json", true);
  TokenSet(tmp / "set").verify();
}

TEST(TokenSet, DamageNamesTheBlock) {
  const TempDir tmp;
  const std::size_t n = (3u << 20) / 2 + 1000;  // three full blocks and a bit
  write_set(tmp / "set", *make_byte_tokenizer(), {}, {n});
  const fs::path path = tmp / "set" / "shard-00000.rtok";
  std::string bytes = read_text(path);
  bytes[64 + (2u << 20) + 5] ^= 1;
  write_file(path, bytes);
  const TokenSet set(tmp / "set");  // the payload is not read on open
  const std::vector<Damage> found = set.damage();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].begin, 64 + (2u << 20));
  EXPECT_EQ(found[0].end, 64 + (3u << 20));
  const std::string what = error_of([&] { set.verify(); });
  expect_contains(what, "bytes 2097216..3145791");
  expect_contains(what, "(1 of 1 shards affected)");
}

TEST(TokenSet, TruncatedGrownMissingAndSwappedFilesAreRefused) {
  const TempDir tmp;
  write_set(tmp / "set", *make_byte_tokenizer(), {.shard_tokens = 30}, {60});
  const fs::path first = tmp / "set" / "shard-00000.rtok", second = tmp / "set" / "shard-00001.rtok";
  const std::string good = read_text(first), other = read_text(second),
                    index = read_text(tmp / "set" / "index.json");
  for (std::size_t n = good.size(); n-- > 0;) {
    fs::resize_file(first, n);
    expect_contains(error_of([&] { TokenSet s(tmp / "set"); }), "shard-00000.rtok: truncated");
  }
  write_file(first, good + "x");
  expect_contains(error_of([&] { TokenSet s(tmp / "set"); }), "wrong size");
  write_file(first, other);  // intact, but not the shard the index means
  expect_contains(error_of([&] { TokenSet s(tmp / "set"); }), "is not the shard its index means");
  fs::remove(first);
  expect_contains(error_of([&] { TokenSet s(tmp / "set"); }), "shard-00000.rtok: cannot open");
  write_file(first, good);
  for (std::size_t n = index.size(); n-- > 0;) {
    fs::resize_file(tmp / "set" / "index.json", n);
    expect_contains(error_of([&] { TokenSet s(tmp / "set"); }), "index.json");
  }
  fs::remove(tmp / "set" / "index.json");
  expect_contains(error_of([&] { TokenSet s(tmp / "set"); }), "not a token directory");
}

// A shard whose checksums are right but whose content is wrong, as a faulty foreign writer would make it.
TEST(TokenSet, TokenOutsideTheVocabularyIsReportedWithShardAndOffset) {
  const TempDir tmp;
  CharVocabulary v;
  v.add("abc");
  Index index;
  const TokenizerRecord tokenizer(*v.build());
  fs::create_directories(tmp / "set");
  ShardWriter shard(tmp / "set" / "shard-00000.rtok", 3, tokenizer.fingerprint);
  shard.begin_document();
  shard.append(std::vector<std::int32_t>{0, 1, 2, 1, 3, 0});
  index.shards.push_back({"shard-00000.rtok", 6, 1, shard.finish()});
  index.tokens = 6;
  index.documents = 1;
  write_index(tmp / "set", index, tokenizer);
  const TokenSet set(tmp / "set");
  expect_contains(error_of([&] { set.verify(); }), "shard-00000.rtok: offset 4: token 3 >= vocab 3");
  EXPECT_EQ(read_all(set, 0, 4), (std::vector<std::int32_t>{0, 1, 2, 1}));
  expect_contains(error_of([&] { read_all(set, 2, 4); }), "offset 4: token 3 >= vocab 3");
}

}  // namespace
}  // namespace rt::data
