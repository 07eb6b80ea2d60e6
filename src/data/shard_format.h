#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

// A token shard, little-endian:
//   header         64 bytes
//   payload        tokens (u16 or u32), zero padding to 8 bytes, then where documents start (u64 token
//                  offsets, ascending)
//   block table    xxh3 (u64) of each 1 MiB block of the payload, the last one shorter
//   table xxh3     u64
// Every byte is under a checksum: the header under its own, the payload under the table, the table under the
// last word. The shard's `xxh3` in index.json is the hash of header, table and last word, so it pins all
// bytes of the file and can be checked on open without reading the payload.
namespace rt::data {

static_assert(std::endian::native == std::endian::little, "token shards are mapped as they lie on disk");

inline constexpr char kShardMagic[8] = {'R', 'T', 'O', 'K', '\r', '\n', '\x1a', '\n'};
inline constexpr std::uint32_t kShardVersion = 1;
inline constexpr std::uint64_t kShardBlock = std::uint64_t{1} << 20;

struct ShardHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t token_bytes;  // 2 or 4
  std::uint64_t tokens;
  std::uint64_t documents;
  std::uint64_t fingerprint;  // of the tokenizer
  std::uint64_t vocab;
  std::uint64_t block;
  std::uint64_t checksum;  // xxh3 of the 56 bytes before it
};
static_assert(sizeof(ShardHeader) == 64);

inline std::uint64_t shard_starts_offset(const ShardHeader& h) {  // from the start of the payload
  return (h.tokens * h.token_bytes + 7) / 8 * 8;
}
inline std::uint64_t shard_payload_bytes(const ShardHeader& h) {
  return shard_starts_offset(h) + 8 * h.documents;
}
inline std::uint64_t shard_blocks(const ShardHeader& h) {
  return (shard_payload_bytes(h) + kShardBlock - 1) / kShardBlock;
}
inline std::uint64_t shard_file_bytes(const ShardHeader& h) {
  return sizeof(ShardHeader) + shard_payload_bytes(h) + 8 * (shard_blocks(h) + 1);
}
inline std::uint32_t token_bytes_for(std::int64_t vocab) { return vocab <= 65536 ? 2 : 4; }

}  // namespace rt::data
