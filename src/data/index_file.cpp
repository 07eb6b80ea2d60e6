#include "data/index_file.h"

#include "data/hash.h"

#include "data/json.h"
#include "data/output_file.h"
#include "data/shard_format.h"
#include "rt/core/error.h"
#include "rt/core/mapped_file.h"

namespace rt::data {
namespace {

constexpr int kIndexVersion = 1;
constexpr std::string_view kTailHead = ",\n  \"index_xxh3\": \"";
constexpr std::string_view kTailEnd = "\"\n}\n";
constexpr std::size_t kMaxEmbedded = std::size_t{64} << 10;  // a longer tokenizer has a file of its own

std::uint64_t parse_hex(const std::string& text, const std::string& path) {
  if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail(Exit::Data, "{}: '{}' is not a checksum of 16 hexadecimal digits", path, text);
  }
  return std::stoull(text, nullptr, 16);
}

// Returns the checksum of an intact index.
std::uint64_t check_tail(std::string_view text, const std::string& path) {
  const std::size_t tail = kTailHead.size() + 16 + kTailEnd.size();
  const bool shaped = text.size() > tail && text.substr(text.size() - tail, kTailHead.size()) == kTailHead &&
                      text.substr(text.size() - kTailEnd.size()) == kTailEnd;
  if (!shaped) {
    fail(Exit::Data,
         "{}: does not end in its checksum line, bytes {}..{}; the file was cut or edited, copy it again",
         path, text.size() - std::min(text.size(), tail), text.size());
  }
  const std::string_view body = text.substr(0, text.size() - tail);
  const std::string stored(text.substr(body.size() + kTailHead.size(), 16));
  const std::string read = hex16(xxh3(body));
  if (stored != read) {
    fail(Exit::Data, "{}: checksum mismatch (stored {}, read {}), bytes 0..{}; copy it again", path, stored,
         read, text.size() - 1);
  }
  return parse_hex(stored, path);
}

// The text of the tokenizer: embedded, or in a file beside the index whose hash is the fingerprint.
std::string stored_tokenizer(const nlohmann::ordered_json& json, std::uint64_t fingerprint,
                             const std::filesystem::path& index) {
  if (!json.contains("file")) return json_text(json);
  const std::string file = json.at("file").get<std::string>();
  if (file != kTokenizerName) {
    fail(Exit::Data, "{}: the tokenizer's file is called '{}', not {}", index.string(), file, kTokenizerName);
  }
  const std::filesystem::path path = index.parent_path() / file;
  if (!std::filesystem::exists(path)) fail(Exit::Data, "{}: is missing; copy it again", path.string());
  const MappedFile mapped(path, Exit::Data);
  const std::uint64_t read = xxh3(mapped.text());
  if (read != fingerprint) {
    fail(Exit::Data, "{}: checksum mismatch (index: {}, read {}), bytes 0..{}; copy it again", path.string(),
         hex16(fingerprint), hex16(read), mapped.size());
  }
  return std::string(mapped.text());
}

void parse_body(const nlohmann::ordered_json& json, const std::string& path, Index& index) {
  const auto version = json.at("version").get<int>();
  if (version != kIndexVersion) {
    fail(Exit::Data, "{}: format version {} is not supported (this program reads {}); prepare the data again",
         path, version, kIndexVersion);
  }
  const auto fingerprint = parse_hex(json.at("tokenizer_fingerprint").get<std::string>(), path);
  index.tokenizer = tokenizer_from_json(stored_tokenizer(json.at("tokenizer"), fingerprint, path), path);
  if (fingerprint != index.tokenizer->fingerprint() ||
      json.at("vocab").get<std::int64_t>() != index.tokenizer->vocab_size()) {
    fail(Exit::Data,
         "{}: the stored tokenizer does not have the stored fingerprint {}; prepare the data again", path,
         hex16(fingerprint));
  }
  index.description = json.at("description").get<std::string>();
  index.tokens = json.at("tokens").get<std::uint64_t>();
  index.documents = json.at("documents").get<std::uint64_t>();
  for (const auto& shard : json.at("shards")) {
    ShardEntry entry{shard.at("file").get<std::string>(), shard.at("tokens").get<std::uint64_t>(),
                     shard.at("documents").get<std::uint64_t>(),
                     parse_hex(shard.at("xxh3").get<std::string>(), path)};
    if (entry.file.empty() || entry.file.find('/') != std::string::npos || entry.file[0] == '.') {
      fail(Exit::Data, "{}: '{}' is not the name of a shard in the same directory", path, entry.file);
    }
    index.shards.push_back(std::move(entry));
  }
}

bool has_own_file(const TokenizerRecord& tokenizer) { return tokenizer.json.size() > kMaxEmbedded; }

std::string index_to_text(const Index& index, const TokenizerRecord& tokenizer) {
  nlohmann::ordered_json json;
  json["format"] = "rwkv-train tokens";
  json["version"] = kIndexVersion;
  json["description"] = index.description;
  if (has_own_file(tokenizer)) {
    json["tokenizer"] = {{"type", tokenizer.type}, {"file", kTokenizerName}};
  } else {
    json["tokenizer"] = parse_json<nlohmann::ordered_json>(tokenizer.json);
  }
  json["tokenizer_fingerprint"] = hex16(tokenizer.fingerprint);
  json["vocab"] = tokenizer.vocab;
  json["dtype"] = token_bytes_for(tokenizer.vocab) == 2 ? "u16" : "u32";
  json["tokens"] = index.tokens;
  json["documents"] = index.documents;
  json["shards"] = nlohmann::ordered_json::array();
  for (const ShardEntry& s : index.shards) {
    json["shards"].push_back(
        {{"file", s.file}, {"tokens", s.tokens}, {"documents", s.documents}, {"xxh3", hex16(s.xxh3)}});
  }
  std::string body = json_text(json, 2, BadUtf8::Replace);
  body.resize(body.size() - 2);  // without the closing "\n}"
  return body + std::string(kTailHead) + hex16(xxh3(body)) + std::string(kTailEnd);
}

}  // namespace

void write_index(const std::filesystem::path& dir, const Index& index, const TokenizerRecord& tokenizer) {
  const auto write = [&](const char* name, const std::string& bytes) {
    OutputFile file(dir / name);
    file.write(bytes.data(), bytes.size());
    file.close();
  };
  if (has_own_file(tokenizer)) write(kTokenizerName, tokenizer.json);
  write(kIndexName, index_to_text(index, tokenizer));
}

Index read_index(const std::filesystem::path& dir) {
  const std::string path = (dir / kIndexName).string();
  if (!std::filesystem::exists(path)) {
    fail(Exit::Data, "{}: no {} here, so this is not a token directory; make one with: rwkv data prepare",
         dir.string(), kIndexName);
  }
  const MappedFile file(path, Exit::Data);
  Index index;
  index.checksum = check_tail(file.text(), path);
  try {
    parse_body(parse_json<nlohmann::ordered_json>(file.text()), path, index);
  } catch (const nlohmann::json::exception& e) {
    fail(Exit::Data, "{}: not a token index: {}", path, e.what());
  }
  return index;
}

}  // namespace rt::data
