#include "data/shard_mask.h"

#include "data/hash.h"
#include "data/output_file.h"
#include "rt/core/error.h"
#include "rt/core/mapped_file.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

std::uint64_t words_for(std::uint64_t tokens) { return (tokens + 63) / 64; }

}  // namespace

void ShardMask::push(bool bit) {
  if (tokens_ % 64 == 0) words_.push_back(0);
  words_.back() |= std::uint64_t{bit} << (tokens_ % 64);
  ++tokens_;
}

void ShardMask::append(std::span<const std::uint8_t> trained, std::uint64_t before) {
  used_ = true;
  fill_up(before);
  for (const std::uint8_t bit : trained) push(bit != 0);
}

void ShardMask::fill_up(std::uint64_t tokens) {
  while (tokens_ < tokens) push(true);
}

std::uint64_t ShardMask::save(const fs::path& file, std::uint64_t tokens) {
  fill_up(tokens);
  OutputFile out(file);
  out.write(words_.data(), 8 * words_.size());
  out.close();
  const std::uint64_t hash = xxh3(words_.data(), 8 * words_.size());
  *this = {};
  return hash;
}

bool is_shard_mask(const fs::path& file, std::uint64_t tokens, std::uint64_t hash) {
  try {
    const MappedFile map(file, Exit::Data);
    return map.size() == 8 * words_for(tokens) && xxh3(map.data(), map.size()) == hash;
  } catch (const Error&) { return false; }
}

void append_shard_mask(LossMaskWriter& mask, const fs::path& file, std::uint64_t tokens) {
  const MappedFile map(file, Exit::Data);
  RT_CHECK(map.size() == 8 * words_for(tokens), "{}: {} bytes for {} tokens", file.string(), map.size(),
           tokens);
  const auto* words = reinterpret_cast<const std::uint64_t*>(map.data());
  for (std::uint64_t i = 0; i < tokens; ++i) mask.append(1, words[i / 64] >> (i % 64) & 1);
}

}  // namespace rt::data
