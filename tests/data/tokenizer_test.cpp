#include "rt/data/tokenizer.h"

#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

std::unique_ptr<Tokenizer> chars_of(std::string_view text) {
  CharVocabulary v;
  v.add(text);
  return v.build();
}

TEST(ByteTokenizer, RoundTripsEveryByte) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const auto t = make_byte_tokenizer();
  const auto ids = t->encode(all);
  ASSERT_EQ(ids.size(), 256u);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(ids[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(t->decode(ids), all);
  EXPECT_EQ(t->vocab_size(), 256);
  expect_contains(error_of([&] { t->decode_bytes(256); }), "256");
  error_of([&] { t->decode_bytes(-1); });
}

TEST(CharTokenizer, IdsAreRanksOfCodePoints) {
  const auto t = chars_of("zebra \xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z");  // é € 😀
  EXPECT_EQ(t->vocab_size(), 9);
  EXPECT_EQ(t->encode(" abe"), (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(t->decode_bytes(8), "\xF0\x9F\x98\x80");
  const std::string text = "\xF0\x9F\x98\x80 bar \xE2\x82\xAC\xC3\xA9";
  EXPECT_EQ(t->decode(t->encode(text)), text);
}

TEST(CharTokenizer, UnseenCharacterIsNamedWithItsOffset) {
  const auto t = chars_of("abc");
  const std::string what = error_of([&] { t->encode("ab\xC3\xA9"); });
  expect_contains(what, "U+00E9");
  expect_contains(what, "byte 2");
  std::vector<std::int32_t> ids;
  expect_contains(error_of([&] { t->encode_some("abX", true, 1000, ids); }), "'X' (U+0058) at byte 1002");
}

TEST(CharTokenizer, InvalidUtf8IsRefusedWithByteAndOffset) {
  // A stray continuation, a bad lead, an overlong form, a surrogate, above U+10FFFF, cut short.
  for (const std::string bad :
       {"\x80", "\xFF", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82"}) {
    const std::string text = "abc" + bad;
    const std::string what = error_of([&] { chars_of(text); });
    expect_contains(what, "invalid UTF-8");
    expect_contains(what, "at byte 3");
    error_of([&] { chars_of("abc")->encode(text); });
  }
  error_of([] { CharVocabulary().build(); });
}

TEST(Tokenizer, PiecesOfATextGiveItsIds) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
  const std::unique_ptr<Tokenizer> tokenizers[] = {chars_of(text), make_byte_tokenizer()};
  for (const auto& t : tokenizers) {
    for (std::size_t length = 1; length <= text.size(); ++length) {
      std::vector<std::int32_t> ids;
      for (std::size_t at = 0, shown = length; at < text.size();) {
        const bool last = at + shown >= text.size();
        const std::size_t taken = t->encode_some(std::string_view(text).substr(at, shown), last, at, ids);
        shown = taken > 0 ? length : shown + 1;
        at += taken;
      }
      EXPECT_EQ(ids, t->encode(text)) << t->type() << " in pieces of " << length;
    }
  }
}

TEST(Tokenizer, JsonRoundTripKeepsFingerprint) {
  const auto bytes = make_byte_tokenizer();
  const auto chars = chars_of("hello \"\\\n\t\x01\xC3\xA9");
  for (const Tokenizer* t : {bytes.get(), chars.get()}) {
    const auto again = tokenizer_from_json(t->to_json(), "x");
    EXPECT_EQ(again->to_json(), t->to_json());
    EXPECT_EQ(again->fingerprint(), t->fingerprint());
    EXPECT_EQ(again->vocab_size(), t->vocab_size());
    EXPECT_EQ(again->type(), t->type());
  }
  EXPECT_NE(bytes->fingerprint(), chars->fingerprint());
  EXPECT_NE(chars_of("ab")->fingerprint(), chars_of("ac")->fingerprint());
  EXPECT_EQ(chars_of("ab")->fingerprint(), chars_of("ba")->fingerprint());
}

TEST(Tokenizer, BadJsonIsRefused) {
  for (const char* json : {"", "[]", "{}", R"({"type":1})", R"({"type":"bpe"})", R"({"type":"chars"})",
                           R"({"type":"chars","chars":""})", R"({"type":"chars","chars":"ba"})",
                           R"({"type":"chars","chars":"aa"})"}) {
    expect_contains(error_of([&] { tokenizer_from_json(json, "here.json"); }), "here.json");
  }
}

TEST(StreamDecoder, HoldsBackIncompleteSequences) {
  const auto t = make_byte_tokenizer();
  StreamDecoder d(*t);
  EXPECT_EQ(d.push('a'), "a");
  EXPECT_EQ(d.push(0xF0), "");
  EXPECT_EQ(d.push(0x9F), "");
  EXPECT_EQ(d.push(0x98), "");
  EXPECT_EQ(d.push(0x80), "\xF0\x9F\x98\x80");
  EXPECT_EQ(d.push(0xC3), "");
  EXPECT_EQ(d.push('b'),
            "\xEF\xBF\xBD"
            "b");  // the sequence can no longer become valid
  EXPECT_EQ(d.push(0x80), "\xEF\xBF\xBD");
  EXPECT_EQ(d.push(0xE2), "");
  EXPECT_EQ(d.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(d.finish(), "");
}

TEST(StreamDecoder, ConcatenationEqualsWholeText) {
  const std::string text = "na\xC3\xAFve \xE2\x82\xAC 5 \xF0\x9F\x98\x80!";
  const auto bytes = make_byte_tokenizer();
  const auto chars = chars_of(text);
  for (const Tokenizer* t : {bytes.get(), chars.get()}) {
    StreamDecoder d(*t);
    std::string out;
    for (const std::int32_t id : t->encode(text)) out += d.push(id);
    EXPECT_EQ(out + d.finish(), text);
  }
}

}  // namespace
}  // namespace rt::data
