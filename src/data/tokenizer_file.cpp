// From names, files and JSON to tokenizers.
#include <algorithm>

#include "data/char_tokenizer.h"
#include "data/hf_json.h"
#include "data/index_file.h"
#include "data/json.h"
#include "data/sentencepiece_tokenizer.h"
#include "data/tiktoken.h"
#include "data/world_tokenizer.h"
#include "rt/core/error.h"
#include "rt/core/mapped_file.h"
#include "rt/data/tokenizer.h"

namespace rt::data {
namespace {

namespace fs = std::filesystem;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "1 '\x00' 1"
bool looks_like_world(std::string_view text) {
  const std::size_t digits =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
  if (digits == 0 || text.size() - digits < 3 || text[digits] != ' ') return false;
  const std::string_view literal = text.substr(digits + (text[digits + 1] == 'b' ? 2 : 1), 1);
  return literal == "'" || literal == "\"";
}

std::unique_ptr<Tokenizer> open_file(const fs::path& path) {
  const MappedFile file(path, Exit::Data);
  const std::string_view text = file.text();
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) fail(Exit::Data, "{}: is empty; it holds no tokenizer", path.string());
  if (text[begin] == '{') return tokenizer_from_json(text, path.string());
  if (looks_like_world(text)) return read_world_vocabulary(text, path.string());
  if (looks_like_tiktoken(text)) return read_tiktoken(text, path.string());
  if (path.extension() == ".model") return read_sentencepiece(text, path.string());
  fail(Exit::Data,
       "{}: is no tokenizer; known are tokenizer.json, rwkv_vocab_v20230424.txt, tiktoken's rank files and "
       "SentencePiece's .model",
       path.string());
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, std::string_view where) {
  auto parsed = try_json<nlohmann::json>(json);
  if (parsed.is_object() && parsed.contains("model") && parsed["model"].is_object())
    return hf_from_json(std::move(parsed), where);
  if (!parsed.is_object() || !parsed.contains("type") || !parsed["type"].is_string()) {
    fail(Exit::Data, "{}: not a tokenizer description (expected a JSON object with \"type\")", where);
  }
  const auto type = parsed["type"].get<std::string>();
  if (type == "bytes") return make_byte_tokenizer();
  if (type == "chars") return chars_from_json(parsed, where);
  if (type == "rwkv_world") return world_from_json(parsed, where);
  if (type == "tiktoken") return tiktoken_from_json(parsed, where);
  if (type == "sentencepiece") return sentencepiece_from_json(parsed, where);
  fail(Exit::Data,
       "{}: unknown tokenizer type '{}'; known: bytes, chars, rwkv_world, tiktoken, sentencepiece", where,
       type);
}

fs::path find_tokenizer(const fs::path& dir) {
  if (fs::exists(dir / "tokenizer.json")) return dir / "tokenizer.json";
  fs::path found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(dir, none)) {
    const std::string name = entry.path().filename().string();
    const bool world = name.rfind("rwkv_vocab_", 0) == 0 && entry.path().extension() == ".txt";
    const bool other = entry.path().extension() == ".tiktoken" || name == "tokenizer.model";
    if ((world || other) && (found.empty() || entry.path() < found))
      found = entry.path();  // whatever the order on disk
  }
  return found;
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& name) {
  if (name == "bytes") return make_byte_tokenizer();
  if (!fs::exists(name)) {
    fail(Exit::Config, "\"{}\" is neither bytes nor a tokenizer file, nor a directory with one.", name);
  }
  if (!fs::is_directory(name)) return open_file(name);
  if (fs::exists(fs::path(name) / kIndexName)) return read_index(name).tokenizer;
  const fs::path file = find_tokenizer(name);
  if (file.empty()) fail(Exit::Config, "{} holds no tokenizer.json.", name);
  return open_file(file);
}

}  // namespace rt::data
