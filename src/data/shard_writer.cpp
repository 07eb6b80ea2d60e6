#include "data/shard_writer.h"

#include <algorithm>
#include <cstring>

#include "data/hash.h"
#include "rt/core/error.h"

namespace rt::data {

ShardWriter::ShardWriter(const std::filesystem::path& path, std::int64_t vocab,
                         std::uint64_t tokenizer_fingerprint)
    : file_(path) {
  std::memcpy(header_.magic, kShardMagic, sizeof(kShardMagic));
  header_.version = kShardVersion;
  header_.token_bytes = token_bytes_for(vocab);
  header_.fingerprint = tokenizer_fingerprint;
  header_.vocab = static_cast<std::uint64_t>(vocab);
  header_.block = kShardBlock;
  block_.reserve(kShardBlock);
  file_.write(&header_, sizeof(header_));  // checksum 0 until finish(): never taken for whole
}

void ShardWriter::append(std::span<const std::int32_t> ids) {
  header_.tokens += ids.size();
  if (header_.token_bytes == 4) return put(ids.data(), ids.size_bytes());
  std::uint16_t narrow[4096];
  while (!ids.empty()) {
    const std::size_t n = std::min(ids.size(), std::size(narrow));
    for (std::size_t i = 0; i < n; ++i) narrow[i] = static_cast<std::uint16_t>(ids[i]);
    put(narrow, n * sizeof(narrow[0]));
    ids = ids.subspan(n);
  }
}

void ShardWriter::put(const void* bytes, std::size_t n) {
  const auto* at = static_cast<const std::byte*>(bytes);
  while (n > 0) {
    const std::size_t here = std::min<std::size_t>(n, kShardBlock - block_.size());
    block_.insert(block_.end(), at, at + here);
    at += here;
    n -= here;
    if (block_.size() == kShardBlock) flush_block();
  }
}

void ShardWriter::flush_block() {
  if (block_.empty()) return;
  table_.push_back(xxh3(block_.data(), block_.size()));
  file_.write(block_.data(), block_.size());
  block_.clear();
}

std::uint64_t ShardWriter::finish() {
  header_.documents = starts_.size();
  constexpr std::uint64_t kZero = 0;
  put(&kZero, shard_starts_offset(header_) - header_.tokens * header_.token_bytes);
  put(starts_.data(), 8 * starts_.size());
  flush_block();
  table_.push_back(xxh3(table_.data(), 8 * table_.size()));
  file_.write(table_.data(), 8 * table_.size());
  header_.checksum = xxh3(&header_, sizeof(header_) - 8);
  file_.write_at(0, &header_, sizeof(header_));
  file_.close();
  return xxh3(table_.data(), 8 * table_.size(), header_.checksum);
}

}  // namespace rt::data
