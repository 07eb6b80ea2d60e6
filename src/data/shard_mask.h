#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "rt/data/loss_mask.h"

namespace rt::data {

// Which tokens of one shard are trained on, while its directory is being written: kept in a file beside the
// shard until finish() makes the loss mask of all, so that a killed job finds it again. One bit of memory per
// token of a shard.
class ShardMask {
 public:
  bool used() const { return used_; }
  // Of the next tokens, the shard holding `before` so far: those that nothing was said of are trained on.
  void append(std::span<const std::uint8_t> trained, std::uint64_t before);
  // Writes the file of a shard that holds so many tokens, durable, and forgets it. Returns its xxh3.
  std::uint64_t save(const std::filesystem::path& file, std::uint64_t tokens);

 private:
  void push(bool bit);
  void fill_up(std::uint64_t tokens);  // with tokens that nothing was said of
  std::vector<std::uint64_t> words_;
  std::uint64_t tokens_ = 0;
  bool used_ = false;
};

// Whether the file is the one of so many tokens that had this hash.
bool is_shard_mask(const std::filesystem::path& file, std::uint64_t tokens, std::uint64_t xxh3);
void append_shard_mask(LossMaskWriter& mask, const std::filesystem::path& file, std::uint64_t tokens);

}  // namespace rt::data
