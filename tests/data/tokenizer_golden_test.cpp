// Against the reference implementations: experiments/golden/tokenizer.py. And what holds for every tokenizer.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "data/base64.h"
#include "data/unicode.h"
#include "rt/data/tokenizer.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

const std::string kGoldens = std::string(RT_SOURCE_DIR) + "/tests/golden/tokenizer/";

struct Case {
  const char *tokenizer, *lines;
  bool normalizes;
};
const Case kCases[] = {
    {"rwkv_vocab_cut.txt", "rwkv_world.jsonl", false},
    {"gpt2.json", "gpt2.jsonl", false},
    {"neox.json", "neox.jsonl", true},
    {"llama3.json", "llama3.jsonl", false},
    {"qwen2.json", "qwen2.jsonl", true},
    {"o200k.json", "o200k.jsonl", false},
    {"cl100k_base.tiktoken", "cl100k_base.jsonl", false},
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const std::string lines = info.param.lines;
  return lines.substr(0, lines.find('.'));
}

struct Golden {
  std::string text;
  std::vector<std::int32_t> ids;
};

class TokenizerGolden : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    try {
      tokenizer_ = open_tokenizer(kGoldens + GetParam().tokenizer);
    } catch (const Error& e) {
      if (std::string(e.what()).find("PCRE2") == std::string::npos) throw;
      GTEST_SKIP() << e.what();
    }
    std::istringstream in(read_text(kGoldens + GetParam().lines));
    for (std::string line; std::getline(in, line);) {
      const auto json = nlohmann::json::parse(line);
      Golden golden;
      if (json.contains("text")) {
        golden.text = json["text"].get<std::string>();
      } else {
        ASSERT_TRUE(base64_decode(json["base64"].get<std::string>(), golden.text));
      }
      golden.ids = json["ids"].get<std::vector<std::int32_t>>();
      goldens_.push_back(std::move(golden));
    }
    ASSERT_GT(goldens_.size(), 100u);
  }

  // In pieces of `length` bytes, more where nothing is certain.
  std::vector<std::int32_t> in_pieces(std::string_view text, std::size_t length) const {
    std::vector<std::int32_t> ids;
    for (std::size_t at = 0, shown = length; at < text.size();) {
      const bool last = at + shown >= text.size();
      const std::size_t taken = tokenizer_->encode_some(text.substr(at, shown), last, at, ids);
      shown = taken > 0 ? length : shown + 1;
      at += taken;
    }
    return ids;
  }

  // Where text is normalized only its normal form comes back.
  std::string form(const std::string& text) const { return GetParam().normalizes ? nfc(text) : text; }
  bool adds_blanks() const { return std::string(GetParam().tokenizer) == "gpt2.json"; }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<Golden> goldens_;
};

TEST_P(TokenizerGolden, IdsAreThoseOfTheReference) {
  for (const Golden& g : goldens_)
    EXPECT_EQ(tokenizer_->encode(g.text), g.ids)
        << nlohmann::json(g.text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

TEST_P(TokenizerGolden, PiecesOfEverySizeGiveTheIdsOfTheWhole) {
  std::string all;
  for (const Golden& g : goldens_) {
    for (std::size_t length = 1; length <= std::min<std::size_t>(g.text.size(), 13); ++length) {
      EXPECT_EQ(in_pieces(g.text, length), g.ids) << "pieces of " << length;
    }
    all += g.text;
  }
  for (const std::size_t length : {100u, 1000u, 4099u}) {
    EXPECT_EQ(in_pieces(all, length), tokenizer_->encode(all)) << "pieces of " << length;
  }
}

// Longer than the windows that the tokenizer works in.
TEST_P(TokenizerGolden, ALongTextIsItsWords) {
  std::string text;
  std::vector<std::int32_t> ids;
  const auto word = tokenizer_->encode(" the"), line = tokenizer_->encode(" the\n the");
  while (text.size() < 300000) {
    text += " the the\n the";
    ids.insert(ids.end(), word.begin(), word.end());
    ids.insert(ids.end(), line.begin(), line.end());
  }
  EXPECT_EQ(tokenizer_->encode(text), ids);
}

// What has been shown and cannot change is taken: memory does not grow with a text of any length.
TEST_P(TokenizerGolden, LittleOfALongTextIsKeptBack) {
  std::string text;
  while (text.size() < 300000)
    text += "Some words, 1234 numbers\nand a <|line|> more; it's \xC3\xA9t\xC3\xA9. ";
  std::vector<std::int32_t> ids;
  const std::size_t taken = tokenizer_->encode_some(text, false, 0, ids);
  EXPECT_GT(taken, text.size() - 1000);
  tokenizer_->encode_some(std::string_view(text).substr(taken), true, taken, ids);
  EXPECT_EQ(ids, tokenizer_->encode(text));
}

TEST_P(TokenizerGolden, DecodingGivesTheBytesBack) {
  if (adds_blanks()) GTEST_SKIP() << "it adds blanks";
  std::mt19937_64 random(11);
  std::string every;
  for (int b = 0; b < 256; ++b) every += static_cast<char>(b);
  EXPECT_EQ(form(tokenizer_->decode(tokenizer_->encode(every))), form(every));
  for (int i = 0; i < 400; ++i) {
    std::string text;
    // Bytes, with whole words and characters among them.
    for (std::size_t n = random() % 80; n > 0; --n) {
      const std::uint64_t r = random();
      if (r % 4 == 0) {
        text += goldens_[r / 4 % goldens_.size()].text.substr(0, r / 4096 % 9);
      } else {
        text += static_cast<char>(r >> 32);
      }
    }
    EXPECT_EQ(form(tokenizer_->decode(tokenizer_->encode(text))), form(text));
  }
}

TEST_P(TokenizerGolden, JsonGivesTheSameTokenizer) {
  const std::string json = tokenizer_->to_json();
  const auto again = tokenizer_from_json(json, "again");
  EXPECT_EQ(again->to_json(), json);
  EXPECT_EQ(again->fingerprint(), tokenizer_->fingerprint());
  EXPECT_EQ(again->vocab_size(), tokenizer_->vocab_size());
  EXPECT_EQ(again->type(), tokenizer_->type());
  for (const Golden& g : goldens_) EXPECT_EQ(again->encode(g.text), g.ids);
}

TEST_P(TokenizerGolden, IdsOutsideTheVocabularyAreRefused) {
  const std::int64_t vocab = tokenizer_->vocab_size();
  for (const Golden& g : goldens_) {
    for (const std::int32_t id : g.ids) EXPECT_LT(id, vocab);
  }
  for (const std::int64_t id : {std::int64_t{-1}, vocab}) {
    expect_contains(error_of([&] { tokenizer_->decode_bytes(static_cast<std::int32_t>(id)); }),
                    "outside the vocabulary");
  }
  EXPECT_NO_THROW(tokenizer_->decode_bytes(static_cast<std::int32_t>(vocab - 1)));
}

INSTANTIATE_TEST_SUITE_P(Known, TokenizerGolden, testing::ValuesIn(kCases), name_of);

}  // namespace
}  // namespace rt::data
