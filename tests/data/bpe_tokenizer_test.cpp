#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "data/hf_json.h"
#include "data/python_literal.h"
#include "data/unicode.h"
#include "rt/data/prepare.h"
#include "rt/data/token_set.h"
#include "rt/data/tokenizer.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

namespace fs = std::filesystem;
const std::string kGoldens = std::string(RT_SOURCE_DIR) + "/tests/golden/tokenizer/";

nlohmann::json golden_json(const std::string& name) {
  return nlohmann::json::parse(read_text(kGoldens + name));
}

// Merges by their definition: the pair of lowest rank, the leftmost first, one at a time.
class Naive {
 public:
  explicit Naive(const nlohmann::json& json) {
    vocab_ = json.at("model").at("vocab").get<std::map<std::string, std::int32_t>>();
    std::size_t rank = 0;
    for (const auto& m : json.at("model").at("merges")) {
      rank_[{m[0].get<std::string>(), m[1].get<std::string>()}] = rank++;
    }
  }
  std::vector<std::int32_t> encode(const std::string& word) const {
    std::vector<std::string> parts;
    for (const char c : word) parts.push_back(byte_level_encode({&c, 1}));
    while (true) {
      std::size_t best = parts.size(), lowest = rank_.size();
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto found = rank_.find({parts[i], parts[i + 1]});
        if (found == rank_.end() || found->second >= lowest) continue;
        best = i;
        lowest = found->second;
      }
      if (best == parts.size()) break;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    std::vector<std::int32_t> ids;
    for (const std::string& part : parts) ids.push_back(vocab_.at(part));
    return ids;
  }

 private:
  std::map<std::string, std::int32_t> vocab_;
  std::map<std::pair<std::string, std::string>, std::size_t> rank_;
};

TEST(BytePairs, WordsOfAnyLengthMergeByTheDefinition) {
  auto json = golden_json("llama3.json");
  json["model"]["ignore_merges"] = false;
  const Naive naive(json);
  const auto tokenizer = tokenizer_from_json(json.dump(), "llama3");
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    std::string word;
    // Few letters repeat, so that pairs overlap and many have the same rank.
    const std::size_t letters = 2 + random() % 8;
    for (std::size_t n = 1 + random() % 150; n > 0; --n) word += "eathlons"[random() % letters];
    EXPECT_EQ(tokenizer->encode(word), naive.encode(word)) << word;
    EXPECT_EQ(tokenizer->encode(word), naive.encode(word)) << "remembered: " << word;
  }
}

// Quadratic work would take hours.
TEST(BytePairs, AWordOfAMegabyteTakesNoQuadraticTime) {
  const auto tokenizer = open_tokenizer(kGoldens + "llama3.json");
  std::string word;
  for (std::size_t i = 0; i < (std::size_t{1} << 20); ++i) word += "theatre"[i % 7];
  const auto ids = tokenizer->encode(word);
  EXPECT_EQ(tokenizer->decode(ids), word);
  EXPECT_LT(ids.size(), word.size() / 2);
}

TEST(HfJson, TwoTokenizersOnOneThreadDoNotMix) {
  const auto a = open_tokenizer(kGoldens + "llama3.json"), b = open_tokenizer(kGoldens + "neox.json");
  const std::string text = " hello the mask 12345";
  const auto ids_a = a->encode(text), ids_b = b->encode(text);
  EXPECT_NE(ids_a, ids_b);
  EXPECT_EQ(a->encode(text), ids_a);
  EXPECT_EQ(b->encode(text), ids_b);
}

TEST(HfJson, WhatIsNotSupportedIsRefused) {
  struct Change {
    const char *pointer, *value, *said;
  };
  for (const Change& c : {
           Change{"/model/type", "\"Unigram\"", "Unigram"},
           {"/model/byte_fallback", "true", "byte_fallback"},
           {"/model/dropout", "0.1", "dropout"},
           {"/model/end_of_word_suffix", "\"</w>\"", "end_of_word_suffix"},
           {"/model/merges/3", "[\"q\", \"zz\"]", "model.merges.3: \"qzz\" is not in the vocabulary"},
           {"/model/merges/3", "\"a b c\"", "is not a pair"},
           {"/model/vocab", "{}", "vocab is empty"},
           {"/model/vocab/a", "-3", "has no id"},
           {"/normalizer", R"({"type": "Lowercase"})", "normalizer Lowercase"},
           {"/pre_tokenizer", "null", "pre_tokenizer null"},
           {"/pre_tokenizer", R"({"type": "Metaspace"})", "Metaspace"},
           {"/pre_tokenizer/pretokenizers/0/behavior", "\"MergedWithNext\"", "MergedWithNext"},
           {"/pre_tokenizer/pretokenizers/0/pattern", R"({"String": " "})", "Split by"},
           {"/model/merges", "3", "not a tokenizer.json"},
           {"/added_tokens/0/id", "\"x\"", "has no id"},
       }) {
    auto json = golden_json("llama3.json");
    json[nlohmann::json::json_pointer(c.pointer)] = nlohmann::json::parse(c.value);
    const std::string what = error_of([&] { tokenizer_from_json(json.dump(), "here.json"); });
    expect_contains(what, "here.json: ");
    expect_contains(what, c.said);
  }
}

TEST(HfJson, AByteWithoutATokenIsNamedWithItsPlace) {
  auto json = golden_json("llama3.json");
  auto& vocab = json["model"]["vocab"];
  vocab["unused"] = vocab[byte_level_encode("\x07")];
  vocab.erase(byte_level_encode("\x07"));
  const auto tokenizer = tokenizer_from_json(json.dump(), "x");
  std::vector<std::int32_t> ids;
  expect_contains(error_of([&] { tokenizer->encode_some("ab\x07", true, 1000, ids); }),
                  "byte 7 at byte 1002");
}

TEST(Unicode, NfcFollowsTheStandard) {
  const std::pair<const char*, const char*> cases[] = {
      {"e\xCC\x81", "\xC3\xA9"},                                 // é
      {"\xE2\x84\xAB", "\xC3\x85"},                              // the angstrom sign is Å
      {"q\xCC\x87\xCC\xA3", "q\xCC\xA3\xCC\x87"},                // marks in their order
      {"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81"},  // Hangul
      {"\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC"},              // excluded from composition
      {"e\xFF\xCC\x81", "e\xFF\xCC\x81"},                        // not across a bad byte
  };
  for (const auto& [text, form] : cases) {
    EXPECT_EQ(nfc(text), form);
    EXPECT_EQ(nfc(form), form);
    EXPECT_TRUE(text == std::string(form) || may_change_in_nfc(text)) << text;
  }
  EXPECT_FALSE(may_change_in_nfc("na\xC3\xAFve \xE6\x97\xA5\xE6\x9C\xAC"));
}

// Where a character is written in another way it stays of its class, and a text may be cut before what
// nothing joins.
TEST(Unicode, ClassesOutliveNormalization) {
  const CharClasses& classes = CharClasses::get();
  for (char32_t c = 0x80; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    utf8_append(text, c);
    const std::string form = nfc(text);
    EXPECT_TRUE(form == text || may_change_in_nfc(text)) << std::uint32_t{c};
    if (form == text) continue;
    const char32_t first = utf8_step(form, 0).code;
    EXPECT_EQ(classes.is_letter(c), classes.is_letter(first)) << std::uint32_t{c};
    EXPECT_EQ(classes.is_number(c), classes.is_number(first)) << std::uint32_t{c};
    EXPECT_EQ(classes.is_space(c), classes.is_space(first)) << std::uint32_t{c};
  }
}

}  // namespace
}  // namespace rt::data
