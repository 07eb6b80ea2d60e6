#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/index_file.h"
#include "data/output_file.h"

namespace rt::data {

inline constexpr char kJournalName[] = ".journal";

// A shard that is complete, and where the job was when it became so.
struct FinishedShard {
  ShardEntry shard;
  std::string position;    // the job's own words
  std::uint64_t mask = 0;  // xxh3 of its ShardMask's file; 0: it has none
};

// The file by which a killed job goes on: one line says which job, one line each finished shard. Every line
// ends in a hash of itself and all lines before it, so that a line cut off by a crash, or what stands behind
// one, counts for nothing.
struct JournalContent {
  std::string job;
  std::vector<FinishedShard> shards;
};
JournalContent read_journal(
    const std::filesystem::path& dir);  // what is intact of it; empty when there is none

class Journal {
 public:
  // Starts the file anew with this content.
  Journal(const std::filesystem::path& dir, const JournalContent& content);
  void add(const FinishedShard& finished);  // durable afterwards

 private:
  void write(const std::string& line);
  std::uint64_t hash_ = 0;
  std::unique_ptr<OutputFile> file_;
};

}  // namespace rt::data
