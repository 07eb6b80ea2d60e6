#include "data/journal.h"

#include <fstream>

#include "data/hash.h"
#include "data/json.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(const Json& json) {
  // A path in a position may be in any encoding; it is shown there, not used.
  return json_text(json, -1, BadUtf8::Replace);
}

std::string line_of(const FinishedShard& f) {
  return line_of({{"file", f.shard.file},
                  {"tokens", f.shard.tokens},
                  {"documents", f.shard.documents},
                  {"xxh3", f.shard.xxh3},
                  {"mask", f.mask},
                  {"position", f.position}});
}

// False when this is no line of a journal with `hash` before it.
bool parse_line(const std::string& text, std::uint64_t& hash, Json& json) {
  if (text.size() < 17) return false;
  const std::string body = text.substr(0, text.size() - 17);
  hash = xxh3(body, hash);
  if (text.substr(body.size() + 1) != hex16(hash) || text[body.size()] != ' ') return false;
  json = try_json<Json>(body);
  return json.is_object();
}

}  // namespace

JournalContent read_journal(const fs::path& dir) {
  std::ifstream in(dir / kJournalName, std::ios::binary);
  JournalContent content;
  std::uint64_t hash = 0;
  std::string text;
  Json json;
  while (std::getline(in, text) && !in.eof() && parse_line(text, hash, json)) {  // eof: without its newline
    if (content.job.empty()) {
      content.job = json.at("job").get<std::string>();
    } else {
      content.shards.push_back(
          {{json.at("file").get<std::string>(), json.at("tokens").get<std::uint64_t>(),
            json.at("documents").get<std::uint64_t>(), json.at("xxh3").get<std::uint64_t>()},
           json.at("position").get<std::string>(),
           json.value("mask", std::uint64_t{0})});
    }
  }
  return content;
}

Journal::Journal(const fs::path& dir, const JournalContent& content) {
  const fs::path next = dir / (std::string(kJournalName) + ".new");
  fs::remove(next);
  file_ = std::make_unique<OutputFile>(next);
  write(line_of({{"job", content.job}}));
  for (const FinishedShard& f : content.shards) write(line_of(f));
  file_->sync();
  rename_file(next, dir / kJournalName);
  sync_directory(dir);
}

void Journal::add(const FinishedShard& finished) {
  write(line_of(finished));
  file_->sync();
}

void Journal::write(const std::string& line) {
  hash_ = xxh3(line, hash_);
  const std::string whole = line + " " + hex16(hash_) + "\n";
  file_->write(whole.data(), whole.size());
}

}  // namespace rt::data
