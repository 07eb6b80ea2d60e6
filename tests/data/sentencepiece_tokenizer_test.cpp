#include "data/sentencepiece_tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

const std::string kGoldens = std::string(RT_SOURCE_DIR) + "/tests/golden/tokenizer/";

// Null where the program is built without the library, and says so.
std::unique_ptr<Tokenizer> golden_model() {
  try {
    return open_tokenizer(kGoldens + "sentencepiece.model");
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Config);
    expect_contains(e.what(), "libsentencepiece-dev");
    return nullptr;
  }
}

TEST(SentencePiece, IdsAreThoseOfTheReferenceInAnyPieces) {
  const auto tokenizer = golden_model();
  if (!tokenizer) GTEST_SKIP() << "built without SentencePiece";
  std::istringstream in(read_text(kGoldens + "sentencepiece.jsonl"));
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines) {
    const auto json = nlohmann::json::parse(line);
    const auto text = json["text"].get<std::string>();
    const auto ids = json["ids"].get<std::vector<std::int32_t>>();
    EXPECT_EQ(tokenizer->encode(text), ids) << line;
    std::vector<std::int32_t> some;
    EXPECT_EQ(tokenizer->encode_some(text, false, 0, some), 0u);
    EXPECT_TRUE(some.empty());
  }
  EXPECT_GT(lines, 40);
}

TEST(SentencePiece, DecodingGivesTheTextBehindABlank) {
  const auto tokenizer = golden_model();
  if (!tokenizer) GTEST_SKIP() << "built without SentencePiece";
  const std::string text = "What say you? \xE6\x97\xA5\xE6\x9C\xAC";  // the last two in single bytes
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), " " + text);
  EXPECT_EQ(tokenizer->decode_bytes(1), "");  // <s>
  expect_contains(error_of([&] { tokenizer->decode_bytes(400); }), "outside the vocabulary of 400");
}

TEST(SentencePiece, JsonGivesTheSameTokenizer) {
  const auto tokenizer = golden_model();
  if (!tokenizer) GTEST_SKIP() << "built without SentencePiece";
  const auto again = tokenizer_from_json(tokenizer->to_json(), "again");
  EXPECT_EQ(again->fingerprint(), tokenizer->fingerprint());
  EXPECT_EQ(again->encode("to be"), tokenizer->encode("to be"));
  expect_contains(error_of([] { read_sentencepiece("\n\x03zzz", "x.model"); }),
                  "x.model: is no SentencePiece");
  expect_contains(error_of([] { tokenizer_from_json(R"({"type":"sentencepiece"})", "y.json"); }), "y.json");
}

}  // namespace
}  // namespace rt::data
