#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rt/data/tokenizer.h"

namespace rt::data {

// What index.json says. The file is JSON whose last field, "index_xxh3", is the hash of all text before it,
// so that a change of any byte is noticed.
struct ShardEntry {
  std::string file;
  std::uint64_t tokens = 0, documents = 0, xxh3 = 0;
};
// What the index says of a tokenizer: all that a writer needs of it.
struct TokenizerRecord {
  explicit TokenizerRecord(const Tokenizer& t)
      : type(t.type()), json(t.to_json()), vocab(t.vocab_size()), fingerprint(t.fingerprint()) {}
  std::string type, json;
  std::int64_t vocab;
  std::uint64_t fingerprint;
};
struct Index {
  std::unique_ptr<Tokenizer> tokenizer;  // read_index() only
  std::string description;
  std::uint64_t tokens = 0, documents = 0;
  std::vector<ShardEntry> shards;
  std::uint64_t checksum = 0;  // identifies the data set
};

inline constexpr char kIndexName[] = "index.json";
// Holds to_json() of a tokenizer that is too long for the index; its xxh3 is the fingerprint in the index.
inline constexpr char kTokenizerName[] = "tokenizer.json";

// Writes index.json, and before it tokenizer.json where there is one.
void write_index(const std::filesystem::path& dir, const Index& index, const TokenizerRecord& tokenizer);
Index read_index(const std::filesystem::path& dir);  // Exit::Data

}  // namespace rt::data
