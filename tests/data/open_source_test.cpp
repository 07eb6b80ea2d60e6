#include "rt/data/open_source.h"

#include "tests/data/foreign_util.h"
#include "tests/data/token_set_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

const SizedTokenizer kWide(65536);

// 10 tokens in 4 sequences, one of them empty, and three documents, the second of them empty.
const std::vector<std::int32_t> kIds{7, 0, 300, 65535, 4, 5, 6, 1, 2, 3};
const MegatronIndex kIndex{8, 2, {3, 0, 5, 2}, {0, 1, 2, 4}};

void write_megatron(const fs::path& stem, const std::string& idx, const std::string& bin) {
  write_file(stem.string() + ".idx", idx);
  write_file(stem.string() + ".bin", bin);
}

TEST(OpenSource, MegatronIsReadUnderAllItsNames) {
  const TempDir tmp;
  write_megatron(tmp / "a.b", kIndex.text(), packed<std::uint16_t>(kIds));
  for (const char* name : {"a.b", "a.b.bin", "a.b.idx"}) {
    const auto source = open_source(tmp / name, &kWide);
    ASSERT_TRUE(source) << name;
    EXPECT_TRUE(is_foreign(tmp / name)) << name;
    EXPECT_EQ(source->kind(), "megatron");
    ASSERT_EQ(source->size(), kIds.size());
    EXPECT_EQ(read_ids(*source, 0, 10), kIds);
    EXPECT_EQ(read_ids(*source, 3, 2), (std::vector<std::int32_t>{65535, 4}));
    EXPECT_EQ(source->documents(), 3u);
    EXPECT_EQ(source->document_starts(0, 10), (std::vector<std::uint64_t>{0, 3}));
    std::uint64_t begin = 9, end = 9;
    source->document(1, begin, end);
    EXPECT_EQ(begin, 3u);
    EXPECT_EQ(end, 3u);
    source->document(2, begin, end);
    EXPECT_EQ(begin, 3u);
    EXPECT_EQ(end, 10u);
    EXPECT_EQ(source->vocab_size(), 65536);
    EXPECT_EQ(source->tokenizer_fingerprint(), kWide.fingerprint());
    source->verify();
  }
  expect_contains(error_of([&] { open_source(tmp / "a.b", nullptr); }, Exit::Config), "--tokenizer");
}

TEST(OpenSource, MegatronDocumentStartsAgreeWithMemoryTokens) {
  const TempDir tmp;
  const std::vector<std::int32_t> ids = random_ids(60, 200);
  // Documents of one and of several sequences, with and without the closing entry, and none at all.
  const std::vector<std::int32_t> lengths{4, 6, 1, 0, 29, 20};
  const std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::uint64_t>>> cases{
      {{0, 1, 2, 3, 4, 5, 6}, {0, 4, 10, 11, 40}},
      {{0, 2, 4, 6}, {0, 10, 11}},
      {{0, 1, 5}, {0, 4, 40}},
      {{0}, {0}},
      {{}, {0}}};
  for (const auto& [documents, starts] : cases) {
    write_megatron(tmp / "x", MegatronIndex{4, 4, lengths, documents}.text(), packed<std::int32_t>(ids));
    const auto source = open_source(tmp / "x", &kWide);
    const MemoryTokens memory(ids, starts, 65536);
    for (std::uint64_t i = 0; i <= 60; ++i) {
      EXPECT_EQ(source->next_document(i), memory.next_document(i)) << i;
      EXPECT_EQ(source->previous_document(i), memory.previous_document(i)) << i;
    }
    std::uint64_t covered = 0;
    for (std::uint64_t d = 0; d < source->documents(); ++d) {
      std::uint64_t begin = 0, end = 0;
      source->document(d, begin, end);
      EXPECT_EQ(begin, covered);
      covered = end;
    }
    EXPECT_EQ(covered, 60u);
    source->verify();
  }
}

TEST(OpenSource, MegatronTokenTypes) {
  const TempDir tmp;
  const std::vector<std::int32_t> ids{0, 1, 127, 5};
  const auto check = [&](std::uint8_t code, std::uint32_t width, const std::string& bin) {
    write_megatron(tmp / "x", MegatronIndex{code, width, {4}, {0, 1}}.text(), bin);
    EXPECT_EQ(read_ids(*open_source(tmp / "x", &kWide), 0, 4), ids) << int{code};
  };
  check(1, 1, packed<std::uint8_t>(ids));
  check(2, 1, packed<std::int8_t>(ids));
  check(3, 2, packed<std::int16_t>(ids));
  check(4, 4, packed<std::int32_t>(ids));
  check(5, 8, packed<std::int64_t>(ids));
  check(8, 2, packed<std::uint16_t>(ids));
  write_megatron(tmp / "x", MegatronIndex{6, 4, {4}, {0, 1}}.text(), packed<float>(ids));
  expect_contains(error_of([&] { open_source(tmp / "x", &kWide); }), "x.idx: type code 6 at byte 17");
}

TEST(OpenSource, MegatronDamage) {
  const TempDir tmp;
  const std::string idx = kIndex.text(), bin = packed<std::uint16_t>(kIds);
  const auto open = [&](const std::string& i, const std::string& b) {
    write_megatron(tmp / "x", i, b);
    return open_source(tmp / "x.bin", &kWide);
  };
  for (std::size_t n = 9; n < idx.size(); ++n) {
    expect_contains(error_of([&] { open(idx.substr(0, n), bin); }), "x.idx: truncated");
  }
  for (std::size_t n = 1; n < bin.size(); ++n) {
    const std::string what = error_of([&] { open(idx, bin.substr(0, n)); });
    expect_contains(what, "x.bin: truncated");
    expect_contains(what, "promises 20 bytes in 4 sequences, the file has " + std::to_string(n));
  }
  expect_contains(error_of([&] { open(idx, ""); }), "x.bin: empty");
  expect_contains(error_of([&] { open(idx, bin + "xx"); }), "x.bin: wrong size");
  expect_contains(error_of([&] { open(idx + "x", bin); }), "x.idx: wrong size");
  std::string other = idx;
  other[9] = 2;
  expect_contains(error_of([&] { open(other, bin); }), "version 2");
  const std::size_t bytes_at = 34 + 4 * 4, documents_at = bytes_at + 8 * 4;
  other = idx;
  other[bytes_at + 8 * 2] = 4;
  expect_contains(error_of([&] { open(other, bin)->verify(); }),
                  "x.idx: bytes 66..73: sequence 2 of 5 tokens");
  other = idx;
  other[documents_at + 8] = 3;
  const auto source = open(other, bin);
  expect_contains(error_of([&] { source->verify(); }), "x.idx: bytes " + std::to_string(documents_at + 16) +
                                                           ".." + std::to_string(documents_at + 23));
  for (std::uint64_t i = 0; i <= 10; ++i) {  // wrong, but inside what was asked
    EXPECT_GE(source->next_document(i), i);
    EXPECT_LE(source->previous_document(i), i);
  }
}

TEST(OpenSource, TokensAreCheckedAgainstTheVocabulary) {
  const TempDir tmp;
  const SizedTokenizer narrow(400);
  write_megatron(tmp / "x", kIndex.text(), packed<std::uint16_t>(kIds));
  const auto source = open_source(tmp / "x", &narrow);
  EXPECT_EQ(read_ids(*source, 0, 3), (std::vector<std::int32_t>{7, 0, 300}));
  expect_contains(error_of([&] { read_ids(*source, 1, 5); }), "x.bin: offset 3: token 65535 >= vocab 400");
  const std::vector<Damage> found = source->damage();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].begin, 6u);
  EXPECT_EQ(found[0].end, 8u);
  write_megatron(tmp / "y", MegatronIndex{4, 4, {2}, {0, 1}}.text(), packed<std::int32_t>({5, -3}));
  expect_contains(error_of([&] { read_ids(*open_source(tmp / "y", &narrow), 0, 2); }),
                  "y.bin: offset 1: token -3 is negative");
  write_file(tmp / "z.bin", llmc_header(20240801, 7, 2) + packed<std::uint32_t>({5, -3}));
  expect_contains(error_of([&] { read_ids(*open_source(tmp / "z.bin", &narrow), 0, 2); }),
                  "z.bin: offset 1: token 4294967293 >= vocab 400");
}

TEST(OpenSource, LlmcFilesOneOrMany) {
  const TempDir tmp;
  const SizedTokenizer gpt2(50257), llama(128256);
  const std::int32_t end = 50256;
  write_file(tmp / "a_1.bin", llmc_header(20240520, 1, 5) + packed<std::uint16_t>({end, 1, 2, end, 3}));
  // The third document goes on in the next file, as llm.c's own scripts cut them.
  write_file(tmp / "a_2.bin", llmc_header(20240520, 1, 4) + packed<std::uint16_t>({4, 5, end, 6}));
  write_file(tmp / "b_1.bin", llmc_header(20240520, 1, 1) + packed<std::uint16_t>({9}));
  const auto one = open_source(tmp / "a_1.bin", &gpt2);
  EXPECT_EQ(one->kind(), "llm.c");
  EXPECT_EQ(read_ids(*one, 0, 5), (std::vector<std::int32_t>{end, 1, 2, end, 3}));
  const auto many = open_source(tmp / "a_*.bin", &gpt2);
  ASSERT_EQ(many->size(), 9u);
  const std::vector<std::int32_t> all{end, 1, 2, end, 3, 4, 5, end, 6};
  const MemoryTokens memory(all, {0, 3, 7}, 50257);
  EXPECT_EQ(read_ids(*many, 0, 9), all);
  EXPECT_EQ(read_ids(*many, 4, 2), (std::vector<std::int32_t>{3, 4}));
  for (std::uint64_t i = 0; i <= 9; ++i) {
    EXPECT_EQ(many->next_document(i), memory.next_document(i)) << i;
    EXPECT_EQ(many->previous_document(i), memory.previous_document(i)) << i;
  }
  EXPECT_EQ(many->documents(), 3u);
  std::uint64_t begin = 0, stop = 0;
  many->document(1, begin, stop);
  EXPECT_EQ(begin, 3u);
  EXPECT_EQ(stop, 7u);
  error_of([&] { many->document(3, begin, stop); });
  EXPECT_EQ(open_source(tmp.path(), &gpt2)->size(), 10u);            // the directory: all of them
  EXPECT_EQ(open_source(tmp / "a_*.bin", &kWide)->documents(), 2u);  // another vocabulary: a file each

  write_file(tmp / "l.bin", llmc_header(20240801, 7, 3) + packed<std::uint32_t>({1, 128000, 2}));
  const auto wide = open_source(tmp / "l.bin", &llama);
  EXPECT_EQ(read_ids(*wide, 0, 3), (std::vector<std::int32_t>{1, 128000, 2}));
  EXPECT_EQ(wide->documents(), 2u);
}

TEST(OpenSource, LlmqFiles) {
  const TempDir tmp;
  const std::vector<std::int32_t> ids{3, 70000, 4};
  const SizedTokenizer qwen(151643);
  write_file(tmp / "q.bin", llmq_header(2, 3, 151643) + packed<std::int32_t>(ids) + "mask");
  const auto source = open_source(tmp / "q.bin", &qwen);
  EXPECT_EQ(source->kind(), "llmq");
  EXPECT_EQ(read_ids(*source, 0, 3), ids);
  expect_contains(error_of([&] { read_ids(*open_source(tmp / "q.bin", &kWide), 0, 3); }),
                  "q.bin: offset 1: token 70000 >= vocab 65536");
  write_file(tmp / "q.bin", llmq_header(1, 3, 0) + packed<std::int32_t>(ids));
  EXPECT_EQ(open_source(tmp / "q.bin", &kWide)->size(), 3u);
}

TEST(OpenSource, LlmcDamage) {
  const TempDir tmp;
  const std::string good = llmc_header(20240520, 1, 3) + packed<std::uint16_t>({1, 2, 3});
  const auto what = [&](const std::string& bytes) {
    write_file(tmp / "x.bin", bytes);
    return error_of([&] { open_source(tmp / "x.bin", &kWide); });
  };
  for (std::size_t n = 8; n < good.size(); n += n < 1020 ? 100 : 1) {
    expect_contains(what(good.substr(0, n)), "x.bin: truncated");
  }
  expect_contains(what(good + "x"),
                  "wrong size: the header promises 1030 bytes for 3 tokens, the file has 1031");
  expect_contains(what(llmc_header(20240520, 2, 0)), "version 2 in its header, bytes 4..7");
  expect_contains(what(llmc_header(20240520, 1, 0)), "empty");
  expect_contains(what(llmc_header(1234, 1, 0)), "no token data this program reads");
  expect_contains(what(""), "no token data this program reads");
  write_file(tmp / "a.bin", good);
  expect_contains(error_of([&] { open_source(tmp.path(), &kWide); }), "x.bin: is no llm.c token file");
}

TEST(OpenSource, WhatIsNotTokenDataIsLeftAlone) {
  const TempDir tmp;
  write_file(tmp / "text.txt", "some text");
  write_set(tmp / "set", *make_byte_tokenizer(), {}, {3, 4});
  EXPECT_EQ(open_source(tmp / "text.txt", nullptr), nullptr);
  EXPECT_EQ(open_source(tmp.path(), nullptr), nullptr);
  EXPECT_EQ(open_source(tmp / "absent", nullptr), nullptr);
  EXPECT_EQ(open_source(tmp / "absent*.bin", nullptr), nullptr);
  EXPECT_EQ(open_foreign(tmp / "set", nullptr), nullptr);
  for (const char* name : {"text.txt", "absent", "absent*.bin", "set"})
    EXPECT_FALSE(is_foreign(tmp / name)) << name;
  const auto set = open_source(tmp / "set", nullptr);
  ASSERT_TRUE(set);
  EXPECT_EQ(set->kind(), "rtok");
  EXPECT_EQ(set->size(), 7u);
  ASSERT_EQ(set->files().size(), 1u);
  EXPECT_EQ(set->files()[0].documents, 2u);
}

TEST(OpenSource, FingerprintSeesContentAndTokenizer) {
  const TempDir tmp;
  write_megatron(tmp / "x", kIndex.text(), packed<std::uint16_t>(kIds));
  const std::uint64_t before = open_source(tmp / "x", &kWide)->fingerprint();
  EXPECT_EQ(open_source(tmp / "x.bin", &kWide)->fingerprint(), before);
  EXPECT_NE(open_source(tmp / "x", std::make_unique<SizedTokenizer>(65537).get())->fingerprint(), before);
  patch_byte(tmp / "x.bin", 19, 1);
  EXPECT_NE(open_source(tmp / "x", &kWide)->fingerprint(), before);
}

}  // namespace
}  // namespace rt::data
