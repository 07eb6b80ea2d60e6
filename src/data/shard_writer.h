#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "data/output_file.h"
#include "data/shard_format.h"

namespace rt::data {

// Streams one shard: memory is one block, the document starts and the block table.
class ShardWriter {
 public:
  ShardWriter(const std::filesystem::path& path, std::int64_t vocab, std::uint64_t tokenizer_fingerprint);
  void begin_document() { starts_.push_back(header_.tokens); }
  void append(std::span<const std::int32_t> ids);
  std::uint64_t tokens() const { return header_.tokens; }
  std::uint64_t documents() const { return starts_.size(); }
  std::uint64_t finish();  // returns the shard's root hash

 private:
  void put(const void* bytes, std::size_t n);
  void flush_block();
  OutputFile file_;
  ShardHeader header_{};
  std::vector<std::byte> block_;
  std::vector<std::uint64_t> starts_, table_;
};

}  // namespace rt::data
