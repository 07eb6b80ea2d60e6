#include "rt/data/loss_mask.h"

#include "tests/data/masked_set_util.h"

namespace rt::data {
namespace {

TEST(LossMask, GivesBackWhatWasWritten) {
  const TempDir temp;
  for (const std::size_t n : {1u, 63u, 64u, 65u, 2500u}) {
    const auto dir = temp / std::to_string(n);
    const Masked written = write_masked(dir, n, 70, n == 2500 ? 700 : 0);
    const TokenSet set(dir);
    const MaskedTokens tokens(set);
    tokens.mask().verify();
    std::vector<std::uint8_t> bits(n);
    std::uint64_t trained = 0;
    for (const std::uint8_t bit : written.bits) trained += bit;
    EXPECT_EQ(tokens.mask().trained(), trained);
    for (const std::size_t step : {1u, 7u, 64u, 2500u}) {
      for (std::size_t at = 0; at < n; at += step) tokens.fill_trained(at, std::min(step, n - at), &bits[at]);
      EXPECT_EQ(bits, written.bits);
    }
    std::vector<std::int32_t> ids(n);
    tokens.read(0, n, ids.data());
    EXPECT_EQ(ids, written.ids);
  }
}

// In one shard, then in one that has no marks at all.
TEST(LossMask, WhatNothingIsSaidOfIsTrainedOn) {
  const TempDir temp;
  const auto tokenizer = make_byte_tokenizer();
  TokenSetWriter tokens(temp / "set", *tokenizer, {.shard_tokens = 100});
  const std::vector<std::int32_t> ids(70, 7);
  const std::vector<std::uint8_t> none(70, 0);
  tokens.append(std::span(ids).first(10));
  tokens.append(ids, none);
  tokens.append(ids);  // ends in the next shard
  tokens.finish();
  const TokenSet set(temp / "set");
  const LossMask mask(set);
  mask.verify();
  std::vector<std::uint8_t> back(150), want(150, 1);
  std::fill_n(want.begin() + 10, 70, std::uint8_t{0});
  mask.fill(0, back.size(), back.data());
  EXPECT_EQ(back, want);
}

TEST(LossMask, ManyBlocksOfBits) {
  const TempDir temp;
  const auto tokenizer = make_byte_tokenizer();
  const std::size_t n = (std::size_t{1} << 24) + 77;  // two whole blocks of 2^23 bits and a little
  TokenSetWriter tokens(temp / "set", *tokenizer, {});
  const std::vector<std::int32_t> ids(n, 7);
  std::vector<std::uint8_t> bits(n);
  for (std::size_t i = 0; i < n; ++i) bits[i] = i % 3 == 0;
  tokens.append(ids, bits);
  tokens.finish();
  const TokenSet set(temp / "set");
  const LossMask mask(set);
  mask.verify();
  std::vector<std::uint8_t> back(n);
  mask.fill(0, n, back.data());
  EXPECT_EQ(back, bits);
}

TEST(LossMask, DamageAndStrangersAreRefused) {
  const TempDir temp;
  write_masked(temp / "a", 2500, 70);
  write_masked(temp / "b", 2500, 71);  // as many tokens, other documents
  const auto file = temp / "a" / "loss_mask.rmask";
  const TokenSet set(temp / "a");
  const std::uint64_t before = LossMask(set).fingerprint();
  const std::string whole = read_text(file);
  patch_byte(file, 70, static_cast<char>(whole[70] ^ 1));
  expect_contains(error_of([&] { LossMask(set).verify(); }), "checksum mismatch");
  patch_byte(file, 70, whole[70]);
  patch_byte(file, 20, static_cast<char>(whole[20] ^ 1));
  expect_contains(error_of([&] { LossMask mask(set); }), "damaged in bytes 0..63");
  patch_byte(file, 20, whole[20]);
  patch_byte(file, whole.size() - 10, static_cast<char>(whole[whole.size() - 10] ^ 1));
  expect_contains(error_of([&] { LossMask mask(set); }), "block table checksum mismatch");
  std::filesystem::resize_file(file, whole.size() - 8);
  expect_contains(error_of([&] { LossMask mask(set); }), "copy this file again");
  std::filesystem::resize_file(file, 10);
  expect_contains(error_of([&] { LossMask mask(set); }), "damaged in bytes 0..63");
  std::filesystem::copy_file(temp / "b" / "loss_mask.rmask", file,
                             std::filesystem::copy_options::overwrite_existing);
  expect_contains(error_of([&] { LossMask mask(set); }), "was made for other shards");
  std::filesystem::remove(file);
  expect_contains(error_of([&] { LossMask mask(set); }), "has no loss mask; prepare it");
  EXPECT_FALSE(LossMask::present(temp / "a"));
  EXPECT_NE(before, LossMask(TokenSet(temp / "b")).fingerprint());
}

}  // namespace
}  // namespace rt::data
