#include "rt/data/bpe_trainer.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "data/pair_merger.h"
#include "rt/data/stories.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

const std::string kGoldens = std::string(RT_SOURCE_DIR) + "/tests/golden/tokenizer/";

using Pair = PairMerger::Pair;

// Pairs counted afresh after each merge.
TEST(PairMerger, CountsAreThoseOfAFreshCount) {
  std::mt19937_64 random(9);
  std::vector<std::pair<std::vector<std::int32_t>, std::uint64_t>> words;
  PairMerger merger;
  for (int i = 0; i < 200; ++i) {
    std::vector<std::int32_t> ids(1 + random() % 12);
    for (auto& id : ids) id = static_cast<std::int32_t>(random() % 4);
    words.emplace_back(ids, 1 + random() % 5);
    merger.add_word(ids, words.back().second);
  }
  for (std::int32_t next = 4; next < 400; ++next) {
    std::map<Pair, std::uint64_t> counts;
    for (const auto& [ids, count] : words) {
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) counts[{ids[i], ids[i + 1]}] += count;
    }
    Pair expected{-1, -1}, pair;
    for (const auto& [p, count] : counts) {
      if (count >= 3 && (expected.first < 0 || count > counts[expected])) expected = p;
    }
    // Of "aaa" the fresh count sees the pair twice and a merge takes it once, so that another merge may
    // follow.
    const bool found = merger.best(3, pair);
    ASSERT_EQ(found, expected.first >= 0);
    if (!found) break;
    ASSERT_EQ(pair, expected) << next;
    merger.merge(pair, next);
    for (auto& [ids, count] : words) {
      std::vector<std::int32_t> merged;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const bool match = i + 1 < ids.size() && Pair{ids[i], ids[i + 1]} == pair;
        merged.push_back(match ? next : ids[i]);
        i += match ? 1 : 0;
      }
      ids = merged;
    }
  }
}

std::string story_text() {
  std::string text;
  for (std::uint64_t i = 0; i < 60; ++i) text += story(1, i);
  return text;
}

TEST(BpeTrainer, WhatItWritesIsATokenizerThatShortensText) {
  const std::string text = story_text();
  for (const char* pattern : {"gpt2", "llama3", "qwen2"}) {
    BpeTrainOptions options;
    options.vocab = 600;
    options.pattern = pattern;
    options.special = {"<|end|>", "<|user|>"};
    BpeTrainer trainer(options);
    trainer.add(text);
    const auto tokenizer = tokenizer_from_json(trainer.train(), "new");
    EXPECT_EQ(tokenizer->type(), "hf_json");
    EXPECT_EQ(tokenizer->vocab_size(), 600);
    EXPECT_EQ(tokenizer->encode("<|user|>"), (std::vector<std::int32_t>{1}));
    const auto ids = tokenizer->encode(text);
    EXPECT_LT(ids.size(), text.size() * 2 / 5);
    EXPECT_EQ(tokenizer->decode(ids), text);
    std::string every;
    for (int b = 0; b < 256; ++b) every += static_cast<char>(b);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(every)), every);
  }
}

// In whatever order and pieces the text comes.
TEST(BpeTrainer, OrderOfDocumentsDoesNotMatter) {
  BpeTrainOptions options;
  options.vocab = 500;
  BpeTrainer a(options), b(options);
  for (std::uint64_t i = 0; i < 40; ++i) a.add(story(1, i));
  for (std::uint64_t i = 40; i-- > 0;) b.add(story(1, i));
  EXPECT_EQ(a.train(), b.train());
}

// The same tokens as Hugging Face's trainer: experiments/golden/tokenizer.py trained them on this text.
TEST(BpeTrainer, TokensAreThoseOfTheReference) {
  const auto golden = nlohmann::json::parse(read_text(kGoldens + "trained.json"));
  BpeTrainOptions options;
  options.vocab = static_cast<std::int64_t>(golden.at("model").at("vocab").size());
  options.min_count = 1;
  BpeTrainer trainer(options);
  trainer.add(read_text(kGoldens + "trained_on.txt"));
  const auto ours = nlohmann::json::parse(trainer.train());
  EXPECT_EQ(ours.at("model").at("vocab"), golden.at("model").at("vocab"));
  EXPECT_EQ(ours.at("model").at("merges"), golden.at("model").at("merges"));
}

TEST(BpeTrainer, BadOptionsAndNoTextAreRefused) {
  const auto with = [](auto&& change) {
    BpeTrainOptions options;
    change(options);
    return BpeTrainer(options).train();
  };
  expect_contains(error_of([&] { with([](auto& o) { o.vocab = 256; }); }, Exit::Config), "at least 257");
  expect_contains(error_of([&] { with([](auto& o) { o.pattern = "x"; }); }, Exit::Config), "gpt2");
  expect_contains(error_of([&] { with([](auto& o) { o.special = {"a", "a"}; }); }, Exit::Config), "twice");
  expect_contains(error_of([&] { with([](auto&) {}); }), "empty");
}

}  // namespace
}  // namespace rt::data
